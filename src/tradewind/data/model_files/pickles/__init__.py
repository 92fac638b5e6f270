"""Pickles, alone and in the files of joblib, numpy and torch, read by a machine that only takes notes."""
