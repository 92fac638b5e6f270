"""Archives and compressed streams: what is packed inside, and whether two readers see the same."""
