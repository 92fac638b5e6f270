"""How learning is run: jobs, and who rents what for them."""
