"""Ratings of items by users: how rows name them, how rows are learned, and the model."""
