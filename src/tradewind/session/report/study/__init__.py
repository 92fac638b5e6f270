"""The report of a study: one HTML file, read from its store alone."""
