"""The page: studies and runs, live, in a browser."""
