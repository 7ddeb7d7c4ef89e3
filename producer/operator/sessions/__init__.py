"""Sessions as a person names them, their chunks as numbers, and the history that re-runs keep."""
