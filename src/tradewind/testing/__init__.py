"""The laws of every seam, as test classes that any implementation can subclass."""
