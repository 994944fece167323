"""Speed and memory, measured; see each file."""
