"""Principal components of a stream: what is summed up, how it is solved, and the map that comes of it."""
