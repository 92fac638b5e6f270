"""Served models as functions: packed, deployed, called."""
