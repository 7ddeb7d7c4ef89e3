"""Scans: list the bucket, find the gaps, queue them, and write what no worker came to."""
