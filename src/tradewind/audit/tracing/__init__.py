"""What a workload touches in its tree, seen by one of several tracers, in one format of events."""
