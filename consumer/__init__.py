"""The side that does the work, on the GPU: polls, fetches, transcribes, publishes, stops itself."""
