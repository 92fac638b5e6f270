"""How many requests will come: forecasts of load, each with its spread."""
