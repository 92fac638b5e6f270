from __future__ import annotations

import pytest

from tradewind.errors import Misuse
from tradewind.state.consistency import Asynchronous
from tradewind.state.control import StateControl
from tradewind.state.engine import Engine
from tradewind.state.link import Patience
from tradewind.state.partition import even_routing
from tradewind.state.server import Server
from tradewind.state.shard_host import ShardHost
from tradewind.state.transport.inprocess import InProcess, InProcessHosts
from tradewind.state.ways import FoundWays, GivenWays


def test_given_ways_stay():
    with pytest.raises(Misuse, match="channels"):
        GivenWays([], Patience())
    ways = GivenWays([InProcess(Server(Engine(1, Asynchronous()))).channel()], Patience())
    assert ways.find() is ways.find() and ways.lasting


def test_found_ways_follow_the_routing_and_keep_what_has_not_moved():
    hosts = InProcessHosts()
    engines = [Engine(1, Asynchronous(), owned=even_routing(3).owned(shard)) for shard in range(3)]
    hosts.hosts["home"] = ShardHost.reliable(engines, "home")
    for address in ("a", "b"):
        hosts.hosts[address] = ShardHost.active(hosts.connect)
    control = StateControl.at("home", hosts.connect)
    ways = FoundWays("home", hosts.connect, Patience())
    assert [(link.shard, link.address) for link in ways.find()] == [(0, "home"), (1, "home"), (2, "home")]
    control.change(["a", "b", "a"])
    before = list(ways.find())
    control.change(["a", "a", "a"])
    after = ways.find()
    assert [link.address for link in after] == ["a", "a", "a"]
    assert [now is then for now, then in zip(after, before, strict=True)] == [True, False, True]
    ways.close()
    ways.close()
