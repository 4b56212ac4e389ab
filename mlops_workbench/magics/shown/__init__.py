"""What cells show: run cards and the live view."""
