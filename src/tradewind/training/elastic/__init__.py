"""Training on machines that come and go."""
