"""The whole session's transcript: pure assembly, and the shell that reads a session's folder and writes the result."""
