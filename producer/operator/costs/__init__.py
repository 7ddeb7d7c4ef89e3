"""`scribefleet costs`: what the runs of a month have cost, from their reports."""
