"""What endpoints served and why, versions in quarantine, and the replay before a switch."""
