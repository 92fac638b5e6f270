"""Advisors, each in a file under the name that the field knows, with its paper."""
