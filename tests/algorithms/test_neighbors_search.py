"""Searching: exact against a plain loop, cells and faiss's indexes as near as was asked."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.algorithms.neighbors.cells import Cells
from tradewind.algorithms.neighbors.plan import IndexPlan, Searcher
from tradewind.algorithms.neighbors.projection import projection_of
from tradewind.algorithms.neighbors.search import all_scanned, beside, bias_of, measured
from tradewind.errors import MissingExtra, Misuse


def clustered(n, d=16, seed=0):
    chance = np.random.default_rng(seed)
    centres = 4 * chance.normal(size=(40, d))
    return (centres[chance.integers(0, 40, n)] + chance.normal(size=(n, d))).astype(np.float32)


def by_hand(queries, rows, distance, k):
    if distance:
        gaps = queries.astype(float)[:, None] - rows.astype(float)
        values = np.square(gaps).sum(axis=2)
    else:
        values = -(queries.astype(float) @ rows.astype(float).T)
    places = np.argsort(values, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(values, places, axis=1), places


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 90), q=st.integers(1, 20), d=st.integers(1, 9), k=st.integers(1, 12),
    distance=st.booleans(), seed=st.integers(0, 5), whole=st.booleans(),
)  # fmt: skip
def test_scanning_all_is_exact_with_equal_rows_too(n, q, d, k, distance, seed, whole):
    chance = np.random.default_rng(seed)
    rows, queries = chance.normal(size=(n, d)), chance.normal(size=(q, d))
    if whole:  # small whole numbers: many are equally far, and the earlier row comes first
        rows, queries = np.round(rows), np.round(queries)
    rows, queries = rows.astype(np.float32), queries.astype(np.float32)
    k = min(k, n)
    places = all_scanned(queries, beside(rows, bias_of(rows, distance)), n if whole else min(k + 6, n))
    values, found = measured(queries, rows, places, distance, k)
    expected, at = by_hand(queries, rows, distance, k)
    assert values == pytest.approx(expected, abs=1e-6)
    assert (found == at).all()


def test_blocks_do_not_show():
    rows, queries = clustered(5000), clustered(1100, seed=1)
    values, places = Searcher(rows, True, IndexPlan(kind="exact"), 5).search(queries, 5)
    expected, at = by_hand(queries[::11], rows, True, 5)
    assert values[::11] == pytest.approx(expected, rel=1e-6)
    assert (places[::11] == at).all()


def test_rows_far_from_zero_are_told_apart():
    rows = clustered(2000) + np.float32(3000)
    _, places = Searcher(rows, True, IndexPlan(kind="exact"), 5).search(rows[:200], 5)
    assert (places == by_hand(rows[:200], rows, True, 5)[1]).mean() > 0.999


@pytest.mark.parametrize("count", [2, 50])
@pytest.mark.parametrize("distance", [True, False])
def test_cells_hold_every_row_once_and_all_of_them_are_exact(distance, count):
    """Also where a cell has more rows, or more queries, than are multiplied at once."""
    rows, queries = clustered(3000), clustered(150, seed=1)
    cells = Cells(rows, count, distance, seed=0)
    assert np.sort(cells.order).tolist() == list(range(3000))
    places = cells.search(queries, 12, count)
    found = measured(queries, rows, places, distance, 6)[1]
    assert (found == by_hand(queries, rows, distance, 6)[1]).all()
    again = Cells(rows, count, distance, seed=0)
    assert again.order.tobytes() == cells.order.tobytes()


def test_more_cells_than_distinct_rows():
    rows = np.repeat(np.eye(3, dtype=np.float32), 20, axis=0)
    values, _ = Searcher(rows, True, IndexPlan(kind="cells", cells=30), 5).search(rows, 5)
    assert not values.any()


@pytest.mark.parametrize("kind", ["cells", "ivf_flat", "flat", "ivf_pq"])
@pytest.mark.parametrize("distance", [True, False])
def test_an_index_finds_what_was_asked(kind, distance):
    if kind != "cells":
        pytest.importorskip("faiss")
    rows, queries = clustered(1500), clustered(200)
    searcher = Searcher(rows, distance, IndexPlan(kind=kind, recall=0.95, parts=5), 10)
    _, places = searcher.search(queries, 10)
    _, true = by_hand(queries, rows, distance, 10)
    recall = np.mean([len(set(a) & set(b)) for a, b in zip(places.tolist(), true.tolist(), strict=True)]) / 10
    assert recall > (0.8 if kind == "ivf_pq" else 0.95)
    assert searcher.plan.measured_recall > (0.8 if kind == "ivf_pq" else 0.95)
    if kind in ("cells", "ivf_flat") and distance:
        assert searcher.plan.probes < searcher.plan.cells / 2
    again = Searcher(rows, distance, searcher.plan, 10)
    assert again.plan == searcher.plan
    assert again.search(queries, 10)[1].tobytes() == places.tobytes()


def test_fewer_rows_in_the_cells_than_neighbours_asked():
    rows = clustered(500)
    searcher = Searcher(rows, True, IndexPlan(kind="cells", cells=100, probes=1), 50)
    values, places = searcher.search(rows[:20], 50)
    assert (places >= 0).all() and (np.diff(values, axis=1) >= 0).all()
    assert all(len(set(each)) == 50 for each in places.tolist())


def test_auto_takes_cells_where_they_pay_and_scans_all_where_they_do_not():
    chance = np.random.default_rng(0)
    assert Searcher(clustered(1000), True, IndexPlan(), 5).plan.kind == "exact"
    plan = Searcher(clustered(21_000, d=8), True, IndexPlan(), 5).plan
    assert plan.kind == "cells" and plan.probes < plan.cells / 5 and plan.measured_recall > 0.99
    noise = chance.normal(size=(21_000, 32)).astype(np.float32)
    assert Searcher(noise, True, IndexPlan(), 5).plan.kind == "exact"


def test_without_faiss_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtra, match=r"tradewind\[neighbors\]"):
        Searcher(clustered(100), True, IndexPlan(kind="flat"), 5)


@pytest.mark.parametrize("kind", ["sign", "fjlt"])
def test_a_projection_keeps_lengths_and_is_its_matrix(kind):
    chance = np.random.default_rng(0)
    rows = chance.normal(size=(50, 300)).astype(np.float32)
    ratios = []
    for seed in range(10):
        projection = projection_of(kind, 300, 64, seed)
        there = projection(rows)
        assert there == pytest.approx(rows @ projection.matrix(), abs=1e-3)
        ratios.append(np.square(there).sum(axis=1) / np.square(rows).sum(axis=1))
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.03)
    assert np.std(ratios) < 1.3 * np.sqrt(2 / 64)
    with pytest.raises(Misuse, match="300 columns are no more than 300"):
        projection_of(kind, 300, 300, 0)
