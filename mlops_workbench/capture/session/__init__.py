"""The runs of a process, and the runs that it shares with other processes."""
