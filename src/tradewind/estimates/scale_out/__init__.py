"""How long a job takes on a cluster of another size: Ernest, where to measure, memory, and ours."""
