"""Latent Dirichlet allocation: its inference, its forgetting, its learner and its model."""
