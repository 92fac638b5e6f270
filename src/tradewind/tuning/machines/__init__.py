"""Which machine a trial runs on: what its steps cost there."""
