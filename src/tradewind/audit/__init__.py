"""What an image holds, what of it a workload needs, what is vulnerable in it, and how it grew."""
