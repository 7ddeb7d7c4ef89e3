"""One run of a worker: the process, its loop, the pipeline of jobs, and the run's report."""
