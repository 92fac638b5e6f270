"""Model-less serving: tasks, and the variants that answer them."""
