from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import Misuse
from tradewind.state import messages as says
from tradewind.state.codec import RAW
from tradewind.state.consistency import Asynchronous, BulkSynchronous
from tradewind.state.engine import Engine
from tradewind.state.image import ImageHead
from tradewind.state.messages import Request, header, reply_of
from tradewind.state.partition import even_routing
from tradewind.state.shard_host import ShardHost
from tradewind.state.transport.inprocess import InProcessHosts


def begun(mode=None, shards=2):
    hosts = InProcessHosts()
    engines = [
        Engine(1, mode or BulkSynchronous(), owned=even_routing(shards).owned(k)) for k in range(shards)
    ]
    hosts.hosts["home"] = ShardHost.reliable(engines, "home")
    hosts.hosts["a"] = ShardHost.active(hosts.connect)
    return hosts


def asked(host, *operations, shard=0, **rest):
    request = Request("someone", 1, list(operations), shard=shard, **rest)
    answers = [frames for peer, frames in host.handle("me", [header(request)]) if peer == "me"]
    return reply_of(answers[0])


def test_a_host_without_the_shard_says_so():
    host = begun().hosts["a"]
    for operation in (says.Hello(says.PROTOCOL, RAW), says.Fence(1), says.Status(), says.Route()):
        assert asked(host, operation).kind == "moved"
    assert asked(begun().hosts["home"], says.Status(), shard=7).kind == "moved"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=3))
def test_noise_is_dropped(frames):
    for host in begun().hosts.values():
        assert list(host.handle("me", frames)) == [] or reply_of(host.handle("me", frames)[0][1])


def test_a_drawing_asked_again_draws_no_more():
    home = begun().hosts["home"]
    assert asked(home, says.Draw("x")).value["epoch"] == 1
    assert asked(home, says.Draw("y")).value["epoch"] == 2
    assert asked(home, says.Draw("x")).value["epoch"] == 1


def test_only_the_last_drawn_epoch_places():
    hosts = begun()
    home = hosts.hosts["home"]
    for token in ("x", "y"):
        asked(home, says.Draw(token))
    for operation in (says.Cut(1), says.Publish(1, ["a", "a"]), says.Fetch(1)):
        assert asked(home, operation).kind == "rolled_back"
    assert home.routing.serving == ("home", "home")
    # a host that was told by the first to fetch a shard does not get it
    assert asked(hosts.hosts["a"], says.Assign(1, "home", False)).value == {"ready": False}
    hosts.hosts["a"].background()
    assert asked(hosts.hosts["a"], says.Assign(1, "home", False)).kind == "rolled_back"
    assert not hosts.hosts["a"].shards


def moved(hosts):
    home, active = hosts.hosts["home"], hosts.hosts["a"]
    epoch = asked(home, says.Draw("x")).value["epoch"]
    for shard in range(2):
        asked(home, says.Fence(epoch), shard=shard)
        asked(active, says.Assign(epoch, "home", False), shard=shard)
        active.background()
        assert asked(active, says.Assign(epoch, "home", False), shard=shard).value == {"ready": True}
    assert asked(home, says.Publish(epoch, ["a", "a"])).kind == "done"
    return home, active, epoch


def test_nobody_gets_in_before_the_epoch_is_opened():
    home, active, epoch = moved(begun())
    assert asked(active, says.Hello(says.PROTOCOL, RAW)).kind == "frozen"
    assert asked(active, says.Claim(0, epoch)).kind == "frozen"
    records = list(active.shards[0].engine.records())
    assert asked(active, says.Open(epoch + 1, records)).kind == "rolled_back"
    assert asked(active, says.Open(epoch, records)).kind == "done"
    assert asked(active, says.Claim(0, epoch - 1)).kind == "rolled_back"
    assert asked(active, says.Claim(0, epoch)).value == {"tenure": 1}
    assert asked(home, says.Claim(0, epoch)).kind == "moved"


def test_a_backup_takes_images_of_its_own_lineage_once():
    home, _active, epoch = moved(begun(Asynchronous()))
    backup = home.shards[0].engine
    stood = backup.records()
    life = home.shards[0].life
    image = ImageHead(0, 5, stood, ())
    assert asked(home, says.Replicate(life, epoch - 1, 1, image, [])).kind == "moved"
    assert asked(home, says.Replicate(life, epoch, 1, image, [])).kind == "done"
    again = ImageHead(0, 9, stood, ())
    assert asked(home, says.Replicate(life, epoch, 1, again, [])).kind == "done"
    assert home.shards[0].engine.snapshot().header.pushes == 5
    assert asked(home, says.Replicate("an earlier life", epoch, 2, again, [])).kind == "moved"
    asked(home, says.Draw("y"))
    assert asked(home, says.Cut(epoch + 1)).kind == "done"
    assert asked(home, says.Replicate(life, epoch, 2, again, [])).kind == "moved"


def test_images_of_one_clock_are_taken_in_together():
    home, _active, epoch = moved(begun())
    life = home.shards[0].life
    image = ImageHead(1, 1, home.shards[0].engine.records(), ())
    request = Request("stream", 1, [says.Replicate(life, epoch, 1, image, [])])
    assert home.handle("me", [header(request)]) == []  # it waits for the other shard's
    assert home.shards[0].engine.rounds == 0
    answers = home.handle(
        "you", [header(Request("other", 1, [says.Replicate(life, epoch, 1, image, [])], shard=1))]
    )
    assert {peer for peer, _ in answers} == {"me", "you"}
    assert [home.shards[k].engine.rounds for k in range(2)] == [1, 1]


def test_a_discarded_shard_is_gone_and_a_late_word_discards_none():
    home, active, epoch = moved(begun())
    asked(active, says.Discard(epoch - 1))
    assert 0 in active.shards
    asked(active, says.Discard(epoch))
    assert 0 not in active.shards and 1 in active.shards
    asked(home, says.Discard(epoch))
    assert len(home.shards) == 2


def test_shards_a_round_apart_are_no_snapshot():
    hosts = begun()
    home = hosts.hosts["home"]
    engine = home.shards[0].engine
    engine.host(0)
    engine.arrive(0, 0, 0)
    assert asked(home, says.TakeAll()).value == {"apart": True}
    home.shards[1].engine.host(0)
    home.shards[1].engine.arrive(0, 0, 0)
    parts = asked(home, says.TakeAll()).value["parts"]
    assert [part["header"]["rounds"] for part in parts] == [1, 1]


def test_a_host_of_nothing_is_misuse():
    with pytest.raises(Misuse, match="shard"):
        ShardHost.reliable([], "home")
    with pytest.raises(Misuse, match="routing"):
        _ = begun().hosts["a"].routing


def test_engines_of_one_host_begin_in_one_epoch():
    engines = [Engine(1, Asynchronous(), owned=even_routing(2).owned(k)) for k in range(2)]
    engines[1].advance_epoch()
    host = ShardHost.reliable(engines, "home")
    assert host.routing.epoch == 1 and {shard.engine.epoch for shard in host.shards.values()} == {1}
