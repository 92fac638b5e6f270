"""Runs of a user's own command on candidates: real, limited, charged, and ended for certain."""
