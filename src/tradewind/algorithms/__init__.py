"""What is learned: one class a file, scikit-learn's face and the three functions. Pure."""
