"""Train and test rows by hash: shares, stability, keys, streams."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tradewind.algorithms.batch import batch_of
from tradewind.data.splitting import Split, split, split_of
from tradewind.data.streamed import StreamedData
from tradewind.data.streams import open_data
from tradewind.errors import Misuse


def rows(n: int = 20_000) -> Any:
    chance = np.random.default_rng(0)
    return np.c_[np.arange(n), chance.integers(0, 500, n), chance.normal(size=n)]


def test_of(x: Any, **how: Any) -> Any:
    return Split(**{"test": 0.2, "side": "test", **how}).mask(batch_of(x))


test_of.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9])
def test_shares_are_as_asked(share) -> None:
    """Within four deviations of the binomial, for whole rows and for keys."""
    n = 20_000
    error = 4 * np.sqrt(share * (1 - share) / n)
    assert abs(test_of(rows(n), test=share).mean() - share) < error
    keys = test_of(np.arange(float(n))[:, None], test=share, key=0)
    assert abs(keys.mean() - share) < error


def test_a_rows_side_depends_on_the_row_and_the_seed_alone() -> None:
    x = rows(3000)
    side = test_of(x)
    order = np.random.default_rng(1).permutation(len(x))
    assert np.array_equal(test_of(x[order]), side[order]), "reordered"
    assert np.array_equal(test_of(np.vstack([x, x + 0.5]))[:3000], side), "grown"
    assert np.array_equal(test_of(x[1000:1007]), side[1000:1007]), "in pieces"
    assert abs((test_of(x, seed=1) == side).mean() - 0.68) < 0.04, "another seed is independent"
    whole = test_of(x, test=0.3)
    assert whole[side].all(), "a larger share keeps its test rows"


def test_dense_sparse_and_narrow_rows_are_one() -> None:
    x = rows(500).astype(np.float32)
    x[:, 2] = np.round(x[:, 2])
    side = test_of(x)
    assert np.array_equal(test_of(csr_matrix(x)), side)
    assert np.array_equal(test_of(x.astype(np.float64)), side)
    assert np.array_equal(test_of(csr_matrix(x), key=1), test_of(x, key=1))


def test_a_key_keeps_together_what_has_it() -> None:
    x = rows()
    side = test_of(x, key=1)
    for key in range(500):
        assert len(set(side[x[:, 1] == key])) == 1
    assert 0.1 < side.mean() < 0.3


def test_labels_do_not_decide() -> None:
    x = rows(200)
    batch, other = batch_of(x, np.zeros(200)), batch_of(x, np.ones(200), np.full(200, 3.0))
    where = Split(test=0.5)
    assert np.array_equal(where.mask(batch), where.mask(other))


def test_both_sides_are_all_rows() -> None:
    x = rows(1000)
    data = open_data(x, np.arange(1000.0), weights=np.arange(1000.0))
    sides = [split(data, Split(test=0.3, side=side)) for side in ("train", "test")]
    labels = [side.head(10_000).labels for side in sides]
    assert sorted(np.concatenate(labels)) == list(range(1000)) and abs(len(labels[1]) - 300) < 60
    train = sides[0].head(10_000)
    assert np.array_equal(train.dense, x[train.labels.astype(int)])
    assert np.array_equal(train.weights, train.labels.astype(np.float32))
    assert sides[0].digest() != sides[1].digest() != data.digest()
    assert sides[0].rows == len(labels[0])


def test_lines_keep_their_numbers(tmp_path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b,label\n" + "".join(f"{n},{n % 7},{n % 2}\n" for n in range(300)))
    data = open_data(path, split={"test": 0.5, "side": "test", "key": "b"})
    assert {row % 7 for row in data.head(300).dense[:, 0]} == set(data.head(300).dense[:, 1])
    assert data.table.lines.tolist() == [int(row) + 2 for row in data.head(300).dense[:, 0]]
    with pytest.raises(Misuse, match=r"split.key.*no column 'c'"):
        open_data(path, split={"test": 0.5, "key": "c"})


def test_a_key_may_be_a_column_that_is_not_learned_from(tmp_path) -> None:
    """Text or number, it is read as text, decides, and goes; nobody is on both sides."""
    path = tmp_path / "rows.csv"
    lines = [f"{n},u{n % 40},{n % 40},{n % 2}" for n in range(400)]
    path.write_text("a,user,number,label\n" + "\n".join(lines) + "\n")
    for key in ("user", "number"):
        sides = [
            open_data(path, features=["a"], split={"test": 0.3, "key": key, "side": side}, cache=cache)
            for side in ("train", "test")
            for cache in (None, tmp_path / "cache", tmp_path / "cache")
        ]
        users = [set(side.head(400).dense[:, 0] % 40) for side in sides]
        assert users[0] == users[1] == users[2] and users[3] == users[4] == users[5]
        assert not users[0] & users[3] and len(users[0]) + len(users[3]) == 40
        assert all(side.schema.columns == ("a",) and side.schema.features == 1 for side in sides)
        assert sum(side.rows for side in (sides[0], sides[3])) == 400
        assert len({side.digest() for side in sides[:3]}) == 1 == len({side.digest() for side in sides[3:]})
        lines_of = [side.table.lines.tolist() for side in (sides[0], sides[1])]
        assert lines_of[0] == lines_of[1]
    with pytest.raises(Misuse, match=r"split\.key: there is no column 'usr'. Did you mean 'user'"):
        open_data(path, features=["a"], split={"test": 0.3, "key": "usr"})


def test_a_side_is_kept_for_the_next_process(tmp_path, monkeypatch) -> None:
    x = rows(500)
    where = Split(test=0.3)
    first = open_data(x, split=where, cache=tmp_path)
    (kept,) = tmp_path.glob("side-*")
    monkeypatch.setattr(Split, "mask", None)  # parting the rows again would fail
    again = open_data(x, split=where, cache=tmp_path)
    assert np.array_equal(again.whole().dense, first.whole().dense) and again.digest() == first.digest()
    monkeypatch.undo()
    kept.write_bytes(b"cut off")
    assert open_data(x, split=where, cache=tmp_path).digest() == first.digest()
    assert open_data(x, split=Split(test=0.3, seed=1), cache=tmp_path).digest() != first.digest()
    assert len(list(tmp_path.glob("side-*"))) == 2


@pytest.mark.parametrize("reopens", [True, False])
def test_streams_are_parted_as_they_come_by(reopens) -> None:
    x = rows(25_000)

    def items() -> Any:
        for at in range(0, len(x), 999):
            yield x[at : at + 999], np.arange(at, min(at + 999, len(x)), dtype=float)

    wanted = np.flatnonzero(test_of(x))
    data = open_data(items if reopens else items(), split={"test": 0.2, "side": "test"})
    assert isinstance(data, StreamedData) and data.reopens == reopens
    for _ in range(1 + reopens):
        found = np.concatenate([batch.labels for batch in data.part(0, 1, 700).batches()])
        assert np.array_equal(found, wanted)


def test_what_cannot_be_meant() -> None:
    x = rows(50)
    with pytest.raises(Misuse, match=r"1\.5 is no share"):
        split_of({"test": 1.5})
    with pytest.raises(Misuse, match="no side"):
        split_of({"test": 0.5, "side": "left"})
    with pytest.raises(Misuse, match="Did you mean 'seed'"):
        split_of({"test": 0.5, "sed": 1})
    with pytest.raises(Misuse, match="split"):
        split_of({"side": "test"})
    with pytest.raises(Misuse, match="have no names"):
        open_data(x, split={"test": 0.5, "key": "user"})
    with pytest.raises(Misuse, match="none of the rows is on the side test"):
        open_data(x[:1], split={"test": 1e-9, "side": "test"})
    with pytest.raises(Misuse, match="none of the rows is on the side test"):
        open_data(lambda: iter([x[:1]]), split={"test": 1e-9, "side": "test"})
