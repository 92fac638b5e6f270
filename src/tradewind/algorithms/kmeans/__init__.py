"""Streaming k-means: a summary that one pass makes, of centres and of rows, solved for any k."""
