"""The formats in which recorded markets are published, one a file: text in, histories out."""
