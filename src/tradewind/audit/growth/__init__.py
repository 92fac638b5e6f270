"""How a code base grew: its lines and bytes by the year that they come from, and its releases by size."""
