"""The dead-letter queue: what failed for good, and what is done about it."""
