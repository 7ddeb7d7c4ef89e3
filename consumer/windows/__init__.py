"""Windows: the spans of audio that the model transcribes at once, and which words belong to which chunk."""
