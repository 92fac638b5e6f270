from __future__ import annotations

import pytest

from tradewind.errors import Unreachable
from tradewind.state.consistency import Asynchronous
from tradewind.state.control import StateControl
from tradewind.state.engine import Engine
from tradewind.state.link import Patience, RolledBack
from tradewind.state.routing import Finder, StateRouting
from tradewind.state.shard_host import ShardHost
from tradewind.state.transport.inprocess import InProcessHosts

SOON = Patience(0.01, 0.05)


def begun():
    hosts = InProcessHosts()
    hosts.hosts["home"] = ShardHost.reliable([Engine(1, Asynchronous())], "home")
    hosts.hosts["a"] = ShardHost.active(hosts.connect)
    return hosts, Finder("home", hosts.connect, SOON)


def test_a_finder_tells_where_the_shards_are():
    hosts, finder = begun()
    assert finder.ask() == StateRouting(0, 0, ("home",), ("home",))
    StateControl.at("home", hosts.connect).change(["a"])
    assert finder.ask() == StateRouting(1, 1, ("a",), ("home",))


def test_a_look_raises_only_when_the_shards_have_moved():
    hosts, finder = begun()
    known = finder.ask()
    for _ in range(3):
        finder.check(known)
    StateControl.at("home", hosts.connect).change(["a"])
    with pytest.raises(RolledBack):
        for _ in range(3):
            finder.check(known)


def test_silence_tells_a_look_nothing_and_is_told_to_who_asks():
    hosts, finder = begun()
    known = finder.ask()
    home = hosts.hosts.pop("home")
    for _ in range(20):
        finder.check(known)
    with pytest.raises(Unreachable, match="home was silent"):
        finder.ask()
    hosts.hosts["home"] = home
    assert finder.ask() == known
