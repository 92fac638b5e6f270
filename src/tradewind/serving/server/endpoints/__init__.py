"""Endpoints: weighted variants of models, how they change, and what is kept of their traffic."""
