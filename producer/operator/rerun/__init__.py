"""Re-runs: a session's chunks are transcribed because a person asks for it."""
