"""Cirrus's grid search: every combination of some values, each trained as a job of its own."""
