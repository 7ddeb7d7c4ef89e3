"""WebM, which recorders slice anywhere: a walker of our own (docs/adr/0005)."""
