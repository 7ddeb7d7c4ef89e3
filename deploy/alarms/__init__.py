"""The operator's look at the fleet's alarms, and the proof that they reach someone."""
