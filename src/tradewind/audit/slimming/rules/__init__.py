"""The rules of keeping, each of which was learned from a slimmed image that did not work."""
