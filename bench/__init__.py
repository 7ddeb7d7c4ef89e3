"""What `make bench` runs: the project's numbers, measured side by side, each with its bound. Not part of the wheel."""
