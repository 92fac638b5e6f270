"""Which offers to take up and which leases to drop for a training job: one rule a file."""
