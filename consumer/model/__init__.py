"""The speech model: where it is, how it is loaded and called, and how its output is cleaned."""
