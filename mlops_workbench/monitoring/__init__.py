"""Monitoring: windows of live predictions, drift, quality once true labels are known, and alerts."""
