"""Which configuration to run on: how it is asked, the published advisors, and ours."""
