"""Model files: our own layout on disk, and the scanner that judges any other before something loads it."""
