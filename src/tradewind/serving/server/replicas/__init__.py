"""Where batches run: in the server itself, in processes of their own, on Ray, as functions."""
