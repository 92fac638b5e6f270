"""Formats of model files other than pickles: each inspector turns bytes into findings, and runs nothing."""
