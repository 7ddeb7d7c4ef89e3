"""The simulated world: instances, workers, queue, lock and time, all made up from a seed."""
