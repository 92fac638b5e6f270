"""Instances bought slot by slot for jobs that offer a value: accept, schedule and charge on arrival."""
