"""Embeddings in a database, with a local cache in front of it: for models that are larger than a function."""
