"""Audio containers and codecs: recognise, repair and decode a chunk's bytes. Knows nothing of AWS or jobs."""
