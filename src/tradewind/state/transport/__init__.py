"""How messages travel between the clients and the servers of a state."""
