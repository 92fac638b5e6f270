from __future__ import annotations

import numpy as np
import pytest

from tradewind.state.consistency import Asynchronous, BulkSynchronous
from tradewind.state.engine import Engine
from tradewind.state.image import cut, lay
from tradewind.state.stamp import Stamp
from tradewind.state.table import layout_of
from tradewind.state.workers import Update

TABLES = (
    ("dense", np.zeros((40, 3), np.float32), "adam", {}),
    ("counts", np.zeros(7, np.int64), "add", {}),
    ("far", np.ones(2), "adagrad", {"sparse": 10**9}),
)


def begun(mode, tables=TABLES):
    engine = Engine(1, mode)
    for key, first, aggregate, options in tables:
        engine.create(*layout_of(key, first, aggregate, **options), token=key)
    engine.host(0)
    return engine


def step(engine, rng, clock):
    pushes = 0
    for key, table in engine.tables.items():
        if rng.random() < 0.4:
            continue
        rows = np.unique(rng.integers(0, min(table.layout.rows, 60), 8))
        delta = rng.normal(0, 3, (len(rows), table.layout.width)).astype(table.layout.dtype)
        engine.push(Stamp(0, engine.epoch, clock, pushes), [Update(key, delta, rows)])
        pushes += 1
    if "counts" in engine.tables and rng.random() < 0.3:
        engine.push(Stamp(0, engine.epoch, clock, pushes), [Update("counts", np.ones((7, 1), np.int64))])
        pushes += 1
    engine.arrive(0, clock, pushes)


def same(one, other):
    (here, head), (there, like) = one.snapshot().plain(), other.snapshot().plain()
    return head == {**like, "epoch": head["epoch"]} and all(
        here[name].tobytes() == there[name].tobytes() for name in here
    )


@pytest.mark.parametrize("mode", [BulkSynchronous(), Asynchronous()])
@pytest.mark.parametrize("seed", range(6))
def test_a_backup_of_images_is_the_shard_itself(mode, seed):
    rng = np.random.default_rng(seed)
    engine, backup = begun(mode), Engine(1, mode)
    for clock in range(30):
        step(engine, rng, clock)
        if rng.random() < 0.5:
            image = cut(engine)
            lay(backup, image)
            assert same(engine, backup)
            lay(backup, image)  # twice is as good as once
            assert same(engine, backup)
    assert backup.tokens == {key: key for key, *_ in TABLES}


def test_an_image_holds_only_what_changed():
    engine = begun(Asynchronous())
    cut(engine)
    engine.push(Stamp(0, 0, 0, 0), [Update("far", np.ones((2, 2)), np.array([5, 9]))])
    image = cut(engine)
    assert [change.key for change in image.head.changes] == ["far"]
    assert image.head.changes[0].layout is None
    assert image.arrays[0].tolist() == [5, 9]
    assert not cut(engine).head.changes


def test_a_table_made_later_goes_whole():
    engine, backup = begun(Asynchronous(), TABLES[:1]), Engine(1, Asynchronous())
    lay(backup, cut(engine))
    engine.create(*layout_of("late", np.arange(4.0)))
    image = cut(engine)
    assert [change.key for change in image.head.changes] == ["late"]
    lay(backup, image)
    assert same(engine, backup)
