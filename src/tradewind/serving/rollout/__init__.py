"""How a new version takes over: weights, canary, linear, shadow, and back again on an alarm."""
