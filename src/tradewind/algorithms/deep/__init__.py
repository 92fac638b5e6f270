"""Learners whose models are networks, on PyTorch (the extra `deep`)."""
