"""Factorization machines: linear models with a product of hidden factors for every pair of features."""
