"""Which variant answers a query: rules behind one seam."""
