"""What a trace is like: stack distances, footprint, working set."""
