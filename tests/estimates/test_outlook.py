from __future__ import annotations

import msgspec
import pytest

from tradewind.estimates.outlook import NEVER, Outlook, Scenario
from tradewind.market.instances import Pool

OUTLOOK = Outlook(
    at=1e9,
    pools=(Pool("a.large", "z-1a"),),
    deltas=(0.001, 0.1),
    horizons=(600.0, 3600.0),
    revoked=(((0.25, 0.5), (0.0, 0.1)),),
    steps=(0.0, 900.0),
    scenarios=(Scenario(1.0, ((700.0, NEVER),), ((0.05, NEVER),)),),
)


def test_an_outlook_is_the_same_after_a_journal():
    """Never is a number: JSON knows no infinity, and a journal must give back what it was given."""
    encoded = msgspec.json.encode(OUTLOOK)
    assert msgspec.json.decode(encoded, type=Outlook) == OUTLOOK
    assert b"null" not in encoded


def test_an_outlook_is_a_value():
    with pytest.raises(AttributeError):
        OUTLOOK.at = 0.0
    assert hash(OUTLOOK) == hash(msgspec.structs.replace(OUTLOOK))
