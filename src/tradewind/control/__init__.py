"""How anything is decided: what a policy is, the loop that asks it, the journal of what it said."""
