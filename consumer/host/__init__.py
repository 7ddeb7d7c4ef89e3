"""The machine a worker runs on: its EC2 instance, its metadata service, its group, and how it is stopped."""
