"""The whole fleet on one machine, with the cloud stood in for and all code real."""
