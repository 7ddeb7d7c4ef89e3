"""`scribefleet selftest`: has a deployed fleet fill a known gap, and says whether and how it did."""
