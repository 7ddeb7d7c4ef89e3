"""`scribefleet doctor`: looks at every part of a deployed fleet and says what is wrong and what to do about it."""
