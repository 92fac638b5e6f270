"""Search over hyper-parameters: what is tried, what is stopped, and on which machines."""
