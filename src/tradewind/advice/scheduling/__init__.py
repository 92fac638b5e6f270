"""Which stage of which job runs next, and on how many executors: jobs that are graphs of stages."""
