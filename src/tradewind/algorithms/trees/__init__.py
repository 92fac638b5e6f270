"""Trees, grown by scikit-learn and kept as arrays."""
