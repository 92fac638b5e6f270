"""Whether the slim image does what the original does: the same invocations on both, with a proof."""
