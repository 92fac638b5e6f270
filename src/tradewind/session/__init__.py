"""The front door: provider, runtime and policies, assembled from a spec or a call."""
