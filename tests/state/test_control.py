from __future__ import annotations

import threading

import numpy as np
import pytest

from tradewind.algorithms.interface import PROGRESS
from tradewind.errors import Misuse, Unreachable
from tradewind.state.client import Ousted, Patience, RolledBack, StateClient
from tradewind.state.consistency import Asynchronous, BulkSynchronous
from tradewind.state.control import StateControl
from tradewind.state.engine import Engine
from tradewind.state.lines import Lines
from tradewind.state.messages import Arrive, Draw, Fence, Leave
from tradewind.state.partition import even_routing
from tradewind.state.server import Server
from tradewind.state.shard_host import ShardHost
from tradewind.state.snapshot import parted, snapshot_of
from tradewind.state.transport.inprocess import InProcess, InProcessHosts


def job(consistency, workers=2, servers=2):
    routing = even_routing(servers)
    hubs = [InProcess(Server(Engine(workers, consistency, owned=routing.owned(s)))) for s in range(servers)]

    def client(worker=None):
        return StateClient([hub.channel() for hub in hubs], worker)

    return client, StateControl([hub.channel() for hub in hubs])


def test_status_tells_positions_progress_and_counts():
    client, control = job(Asynchronous(), workers=2)
    worker = client(1)
    worker.initialize(PROGRESS, np.zeros(2))
    worker.host()
    for _ in worker.draw(range(3)):
        worker.push(PROGRESS, np.array([1.5, 10.0]))
    worker.leave()
    status = control.status()
    assert status.progress == (4.5, 30.0)
    assert [each.clock for each in status.workers] == [0, 3]
    assert status.workers[1].left and not status.workers[0].hosted and not status.finished
    assert status.batches == 3 and status.counts["duplicate"] == 0
    assert status.bytes_in > 0 and status.bytes_out > 0


def test_a_snapshot_of_several_servers_is_of_one_round():
    client, control = job(BulkSynchronous(), workers=1, servers=3)
    reader = client()
    reader.initialize("n", np.zeros(64, np.int64))
    taken = []

    def work():
        worker = client(0)
        worker.host()
        for _ in worker.draw(range(4000)):
            if len(taken) == 3:
                break
            worker.push("n", np.ones(64, np.int64))
            worker.barrier()
        worker.leave()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(3):
            taken.append(control.snapshot())
    finally:
        thread.join(30)
    for snapshot in taken:
        counts = snapshot.arrays["n/values"]
        assert (counts == snapshot.header.rounds).all() and snapshot.positions() == (snapshot.header.rounds,)
    assert taken[0].header.rounds < taken[2].header.rounds


def test_servers_at_different_clocks_keep_their_own_records():
    client, control = job(Asynchronous(), workers=1, servers=2)
    worker = client(0)
    worker.initialize("n", np.zeros(64, np.int64))
    worker.host()
    worker.push("n", np.ones(1, np.int64), np.array([0]))
    worker.pull("n", np.array([0]))
    assert control.snapshot().arrays["n/values"].sum() == 1
    # one server knows of a push that the other has not heard of yet
    worker._operations[1].clear()
    worker.push("n", np.ones(1, np.int64), np.array([0]))
    worker._operations[1].clear()
    worker._flush()
    snapshot = control.snapshot()
    assert snapshot.header.workers[0].sequence == 1  # the least
    assert [part.workers[0].sequence for part in snapshot.header.parts] == [2, 1]
    kept = snapshot_of(*snapshot.plain())
    with pytest.raises(Misuse, match="shards"):
        Engine.restore(kept)
    with pytest.raises(Misuse, match="2 servers"):
        parted(kept, even_routing(3))
    zero, one = (Engine.restore(part) for part in parted(kept, even_routing(2)))
    assert zero.host(0).sequence == 2 and one.host(0).sequence == 1
    assert Engine.restore(kept, fresh=True).host(0).clock == 0


def test_a_lost_and_a_forsaken_worker():
    client, control = job(BulkSynchronous(), workers=2)
    zero, one = client(0), client(1)
    zero.initialize("n", np.zeros(40, np.int64))
    zero.host(), one.host()
    one.push("n", np.ones(40, np.int64))
    one.pull("n")
    control.lose([1])
    assert [each.hosted for each in control.status().workers] == [True, False]
    with pytest.raises(Ousted):
        one.pull("n")
    zero.push("n", np.full(40, 3))
    thread = threading.Thread(target=zero.barrier)
    thread.start()
    while control.status().waiting < 2:
        pass
    control.forsake(1)
    thread.join(10)
    assert not thread.is_alive()
    assert (zero.pull("n") == 3).all()
    with pytest.raises(Ousted):
        one.host()
    zero.leave()
    assert control.status().finished


def test_a_new_epoch_rolls_everybody_back_once():
    client, control = job(BulkSynchronous(), workers=1)
    worker = client(0)
    worker.initialize("n", 0)
    worker.host()
    assert control.advance_epoch() == 1
    assert worker.host().epoch == 1


def test_a_worker_counts_as_gone_only_where_every_server_knows():
    client, control = job(Asynchronous(), workers=1)
    worker = client(0)
    worker.host()
    worker._everywhere(Leave())
    worker._operations[1].clear()
    worker._flush()
    status = control.status()
    assert not status.workers[0].left and not status.finished
    worker.host()
    worker.leave()
    assert control.status().finished


def placed(mode=None, shards=2, workers=1):
    hosts = InProcessHosts()
    owned = [even_routing(shards).owned(shard) for shard in range(shards)]
    engines = [Engine(workers, mode or BulkSynchronous(), owned=each) for each in owned]
    hosts.hosts["home"] = ShardHost.reliable(engines, "home")
    for address in ("a", "b"):
        hosts.hosts[address] = ShardHost.active(hosts.connect)
    control = StateControl.at("home", hosts.connect, patience=Patience(0.05, 0.2))
    worker = StateClient.at("home", hosts.connect, 0, patience=Patience(0.05, 20))
    worker.initialize("n", np.zeros(64, np.int64))
    return hosts, control, worker


def rounds(worker, many):
    while True:
        try:
            clock = worker.host().clock
            for _ in worker.draw(range(clock, many)):
                worker.push("n", np.ones(64, np.int64))
                worker.barrier()
            return
        except RolledBack:
            continue


def test_status_tells_what_is_committed():
    _hosts, control, worker = placed()
    assert control.status().committed == control.status().latest == 0
    routing = control.change(["a", "b"])
    assert routing.serving == ("a", "b") and routing.backups == ("home", "home") and routing.version == 1
    assert routing == control.routing() and routing.epoch == control.status().epoch == 1
    rounds(worker, 3)
    status = control.status()
    assert (status.committed, status.latest, status.lag, status.batches) == (3, 3, 0, 3)
    assert not status.finished
    worker.leave()
    assert control.status().finished


def test_a_snapshot_of_active_hosts_is_that_of_the_committed_clock():
    hosts, control, worker = placed()
    control.change(["a", "b"])
    rounds(worker, 2)
    shard = hosts.hosts["b"].shards[1]
    shard.stream.link.channel.send = lambda message: None  # the line to the backup is cut
    worker.push("n", np.ones(64, np.int64))
    worker._everywhere(Arrive(2, 1))
    worker._flush()
    status = control.status()
    assert (status.committed, status.latest, status.lag) == (2, 3, 1)
    snapshot = control.snapshot()
    assert snapshot.header.rounds == 2 and snapshot.positions() == (2,)
    assert (snapshot.arrays["n/values"] == 2).all()
    del hosts.hosts["b"]
    recovery = control.recover(["a", "a"])
    assert recovery.clocks_lost == 1 and recovery.routing.serving == ("a", "a")
    rounds(worker, 5)
    worker.leave()
    control.change(["home", "home"])
    assert (control.snapshot().arrays["n/values"] == 5).all()
    assert control.status().finished


def test_a_dead_host_is_named_and_nothing_is_lost_by_trying():
    hosts, control, worker = placed()
    control.change(["a", "b"])
    rounds(worker, 2)
    with pytest.raises(Unreachable, match="nowhere"):
        control.change(["nowhere", "a"])
    dead = hosts.hosts.pop("b")
    for ask in (control.status, lambda: control.change(["a", "a"])):
        with pytest.raises(Unreachable, match="b was silent"):
            ask()
    assert control.recover(["a", "a"]).clocks_lost == 0
    hosts.hosts["b"] = dead  # and it comes back, as it was
    assert control.change(["a", "b"]).serving == ("a", "b")
    hosts.hosts["b"] = ShardHost.active(hosts.connect)  # and once more, without a memory
    with pytest.raises(Unreachable, match="b does not serve shard 1"):
        control.change(["a", "a"])
    control.recover(["b", "a"])
    rounds(worker, 4)
    worker.leave()
    assert (control.snapshot().arrays["n/values"] == 4).all()


@pytest.mark.parametrize("serving", [["a"], ["home", "a"], []])
def test_wrong_places_are_misuse_before_anything_is_touched(serving):
    _hosts, control, worker = placed()
    worker.host()
    for move in (control.change, control.recover):
        with pytest.raises(Misuse, match="serving"):
            move(serving)
    worker.push("n", np.ones(64, np.int64))
    worker.barrier()  # nobody was told to host again


def test_given_servers_stay_where_they_are():
    _, control = job(Asynchronous())
    with pytest.raises(Misuse, match=r"StateControl\.at"):
        control.routing()


def test_a_controller_loses_and_forsakes_wherever_the_shards_are():
    hosts, control, worker = placed(workers=2)
    control.change(["a", "b"])
    other = StateClient.at("home", hosts.connect, 1)
    worker.host(), other.host()
    control.lose([1])
    assert [each.hosted for each in control.status().workers] == [True, False]
    with pytest.raises(Ousted):
        other.pull("n")
    control.forsake(1)
    worker.push("n", np.ones(64, np.int64))
    worker.barrier()
    assert control.advance_epoch() == 2
    with pytest.raises(RolledBack):
        worker.pull("n")
    rounds(worker, 2)
    worker.leave()
    assert control.status().finished and control.status().workers[1].forsaken
    control.stop()
    assert all(host.stopped for host in hosts.hosts.values())


def test_a_reader_follows_the_shards():
    hosts, control, worker = placed()
    reader = StateClient.at("home", hosts.connect)
    for serving in (["a", "b"], ["b", "b"], ["home", "home"]):
        control.change(serving)
        rounds(worker, worker.clock + 1)
        reader.initialize(f"made at {serving[0]}", np.zeros((3, 2)))
        assert (reader.pull("n") == worker.clock).all()
    assert reader.tables.keys() == {"n", "made at a", "made at b", "made at home"}


def test_a_reliable_host_that_comes_back_from_its_snapshot_knows_nothing_of_its_earlier_life():
    hosts, control, worker = placed()
    control.change(["a", "b"])
    rounds(worker, 3)
    snapshot = control.snapshot()
    parts = parted(snapshot, even_routing(2))
    seen = []
    while not seen or seen[-1] < 8:
        try:
            for clock in worker.draw(range(worker.host().clock, 8)):
                if clock == 5 and len(parts) == 2:
                    hosts.hosts["home"] = ShardHost.reliable([Engine.restore(part) for part in parts], "home")
                    parts.append(None)
                worker.push("n", np.ones(64, np.int64))
                worker.barrier()
                seen.append(clock + 1)
        except RolledBack:
            continue
    assert seen == [4, 5, 6, 4, 5, 6, 7, 8]  # one round is over there before they are told
    assert not hosts.hosts["a"].shards and not hosts.hosts["b"].shards  # they were told
    control.change(["b", "a"])
    worker.host()
    worker.leave()
    assert (control.snapshot().arrays["n/values"] == 8).all()


def test_status_tells_of_a_change_that_was_left_half_done():
    hosts, control, worker = placed()
    assert not control.status().moving
    lines = Lines("home", hosts.connect, Patience(0.05, 0.2))
    epoch = lines.register(Draw("x"))[0]["epoch"]
    lines.every(["home", "home"], Fence(epoch))
    assert control.status().moving
    assert control.change(["a", "b"]).epoch == epoch + 1
    assert not control.status().moving
    rounds(worker, 1)
    worker.leave()
    assert control.status().finished
