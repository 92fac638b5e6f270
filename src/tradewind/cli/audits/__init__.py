"""The verbs of `tradewind audit`, one a module."""
