"""How many replicas of each variant: rules behind one seam."""
