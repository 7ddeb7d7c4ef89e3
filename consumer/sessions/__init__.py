"""What a worker needs to know of a session: its chunks' audio and the hints for the model."""
