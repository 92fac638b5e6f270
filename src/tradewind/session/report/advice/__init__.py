"""The page of a search for a configuration: what was probed, what is believed, and why it ended."""
