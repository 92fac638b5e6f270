"""The report of an endpoint: one HTML file, read from its journal alone."""
