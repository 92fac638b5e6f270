"""When leases will be revoked: what histories show, models of it, and outlooks with joint scenarios."""
