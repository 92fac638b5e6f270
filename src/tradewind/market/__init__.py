"""The vocabulary, prices and billing, as values. Pure: imports nothing but errors."""
