"""What is stopped early: one rule a module."""
