"""Making, changing and removing a fleet in an AWS account."""
