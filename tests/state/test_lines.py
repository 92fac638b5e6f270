from __future__ import annotations

import pytest

from tradewind.errors import Unreachable
from tradewind.state.consistency import Asynchronous
from tradewind.state.engine import Engine
from tradewind.state.lines import Lines, ask
from tradewind.state.link import Elsewhere, Patience
from tradewind.state.messages import Fence, Status
from tradewind.state.partition import even_routing
from tradewind.state.shard_host import ShardHost
from tradewind.state.transport.inprocess import InProcessHosts


def begun():
    hosts = InProcessHosts()
    engines = [Engine(1, Asynchronous(), owned=even_routing(2).owned(shard)) for shard in range(2)]
    hosts.hosts["home"] = ShardHost.reliable(engines, "home")
    hosts.hosts["a"] = ShardHost.active(hosts.connect)
    return hosts, Lines("home", hosts.connect, Patience(0.01, 0.05))


def test_every_shard_is_asked_at_its_place():
    _, lines = begun()
    assert lines.routing().serving == ("home", "home")
    assert lines.to("home", 1) is lines.to("home", 1)
    assert [value["epoch"] for value, _ in lines.every(["home", "home"], Status())] == [0, 0]
    lines.close()
    lines.close()


def test_a_refusal_and_a_silence_name_the_place_and_spoil_nothing():
    hosts, lines = begun()
    with pytest.raises(Elsewhere, match="a does not serve shard 1"):
        lines.every(["home", "a"], Fence(1))
    del hosts.hosts["a"]
    with pytest.raises(Unreachable, match="a was silent"):
        ask([lines.to("a", 0), lines.to("home", 1)], [Status(), Status()])
    assert [value["epoch"] for value, _ in lines.every(["home", "home"], Status())] == [1, 0]


def test_lines_to_hosts_that_play_no_part_are_closed():
    _, lines = begun()
    home, away = lines.to("home", 1), lines.to("a", 0)
    lines.forget_all_but({"home"})
    assert lines.to("home", 1) is home and lines.to("a", 0) is not away
