"""How a lease is charged for: one rule a file, each with the dates between which it held."""
