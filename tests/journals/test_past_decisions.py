"""Decisions that once were wrong, or must never change: every journal in this folder is decided again.

`taken-again-under-notice.sqlite`: a spot pool gave notice of a price that was already on its way up;
`cheapest_spot` bid for the same pool again at the same moment, was given notice at once, and so on for ever.
Now it keeps out of a pool that has just given notice. It is written by `python tests/journals/rewrite.py`.
"""

from pathlib import Path

import pytest

from tradewind.control.journal import Journal
from tradewind.control.replay import replay
from tradewind.market.decisions import Take

HERE = Path(__file__).parent


@pytest.fixture(params=sorted(each.name for each in HERE.glob("*.sqlite")))
def journal(request, tmp_path):
    # A copy: reading may fold a log in, and the files here are under version control.
    path = tmp_path / request.param
    path.write_bytes((HERE / request.param).read_bytes())
    return path


def test_it_is_decided_as_it_was(journal):
    assert replay(journal).decisions > 0


def test_no_pool_under_notice_is_bid_for(journal):
    refused = 0
    with Journal.read(journal) as reading:
        for entry in reading.entries():
            view = entry.view.market
            noticed = {notice.lease for notice in view.revocations}
            pools = {lease.pool for lease in view.leases if lease.id in noticed}
            for action in entry.decision.actions:
                if isinstance(action, Take) and action.bid.terms.revocable:
                    assert action.bid.pool not in pools
                    refused += bool(pools)
    assert refused > 0
