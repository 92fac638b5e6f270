"""The report of an audit: what is in an image, what of it is needed, and what in it would bite."""
