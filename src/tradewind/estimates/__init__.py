"""How long, how much, how risky. Pure."""
