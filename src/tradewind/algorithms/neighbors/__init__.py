"""Nearest neighbours: the rows that are kept, how they are searched, and what their labels say."""
