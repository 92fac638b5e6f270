"""What runs a workload confined to its tree, and the tracers that watch it there."""
