"""The side that asks for work: finds gaps and puts jobs on the queue."""
