"""Which names a pickle may use: lists of exact names from trusted libraries, and what makes them."""
