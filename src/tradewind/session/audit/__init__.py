"""Audits put together: what is asked, the recorded runs, and each step from a tree to its report."""
