"""Who rents us machines. Acts on the world; knows no runtime."""
