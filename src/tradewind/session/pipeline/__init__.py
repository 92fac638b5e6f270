"""A whole life from one spec: search for a setting, train with it, audit what came out, and serve it."""
