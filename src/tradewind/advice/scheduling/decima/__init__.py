"""Decima: a graph network that schedules, what it sees, how it is trained, and its weights."""
