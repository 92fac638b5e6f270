"""How many replicas, on which machines, under which terms: the published policies, and ours."""
