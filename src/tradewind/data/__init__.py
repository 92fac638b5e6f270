"""Data at rest: streams and their cursors, recorded histories, the object store, the record of runs."""
