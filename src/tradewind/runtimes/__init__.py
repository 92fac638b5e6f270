"""Where work runs. Connects to the address of a lease; knows no provider."""
