"""The operator's commands: what is going on, what went wrong, what it cost, and how to step in."""
