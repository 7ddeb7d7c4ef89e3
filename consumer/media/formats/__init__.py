"""The containers that recorders write, one module or package each."""
