"""When to run a batch, and of how many requests: each published rule, and ours."""
