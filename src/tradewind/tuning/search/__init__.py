"""What is tried next: one rule a module."""
