"""The unseen half of the corpus: 150 malicious files by somebody who had not read the scanner.

All are made by code and depend on nothing but the marker's path, so there is nothing to seed. Loading one
makes the marker and does no other harm than a small file in the folder it is loaded in.
"""

from __future__ import annotations

from model_corpus import unseen_containers, unseen_formats, unseen_gadgets, unseen_libraries, unseen_opcodes
from model_corpus.cases import Attack


def attacks() -> list[Attack]:
    """All of them, by class."""
    parts = (unseen_opcodes, unseen_gadgets, unseen_libraries, unseen_containers, unseen_formats)
    return [attack for part in parts for attack in part.attacks()]
