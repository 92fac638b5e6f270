from __future__ import annotations

import msgspec

from tradewind.market.instances import Instance, InstanceType, Pool
from tradewind.market.leases import Ending, Lease, LeaseId
from tradewind.market.offers import Terms
from tradewind.market.resources import Resources

LEASE = Lease(LeaseId("l"), Instance("i", InstanceType("p2", Resources(vcpus=4)), "a"), Terms.SPOT, 5.0, 0.3)


def test_a_lease_is_held_until_it_ends():
    assert LEASE.held and LEASE.pool == Pool("p2", "a")
    assert not msgspec.structs.replace(LEASE, ended=9.0, ending=Ending.REVOKED).held


def test_a_lease_travels_as_json():
    ended = msgspec.structs.replace(LEASE, ended=9.0, ending=Ending.FAILED)
    for lease in (LEASE, ended):
        assert msgspec.json.decode(msgspec.json.encode(lease), type=Lease) == lease
