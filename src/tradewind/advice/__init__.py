"""Advice: which machines to use, how many, in which order, and when to give them back."""
