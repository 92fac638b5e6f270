"""A task and its many variants, and the cheapest that is accurate and fast enough (INFaaS)."""
