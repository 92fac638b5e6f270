"""Whose a file is: packages of apt, pip and conda, what of them nobody needs, and the bill of materials."""
