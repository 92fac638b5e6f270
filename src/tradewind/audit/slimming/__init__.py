"""The part of an image that a workload needs, written as an image of its own, and the rest beside it."""
