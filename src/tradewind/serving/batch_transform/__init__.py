"""Batch transform: whole files of records through a model, cut, packed, answered and put together again."""
