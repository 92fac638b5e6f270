"""Directories, OCI layouts and archives as trees of files, read in place, and written safely."""
