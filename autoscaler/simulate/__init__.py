"""Simulates weeks of the fleet in seconds: the real tick, against a world in which everything else is made up.

For people at a command line; the Lambda function neither carries nor imports it.
"""
