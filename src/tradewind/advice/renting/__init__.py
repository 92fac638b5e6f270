"""Instances rented and released for tasks that arrive: which type, which task where, and when to let go."""
