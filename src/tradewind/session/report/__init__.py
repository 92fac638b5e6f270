"""One HTML file that tells a run: what was paid, what was decided and why, and what was real."""
