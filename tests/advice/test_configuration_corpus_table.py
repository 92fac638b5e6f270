"""Runs of other workloads as tables, and what is told of configurations."""

import math

import numpy as np
import pytest
from configurations import SPACE, measured

from tradewind.advice.configuration.corpus_table import log_seconds, outcomes, safe_columns, telling_columns
from tradewind.advice.configuration.runs import Corpus
from tradewind.advice.configuration.space import Configuration, ConfigurationSpace

CORPUS = Corpus(
    {
        "b": (measured(0, 9.0, "failed"), measured(0, 20.0), measured(1, 5.0, "failed")),
        "a": (measured(2, 10.0), measured(2, 1000.0), measured(3, 7200.0, "timed_out")),
    }
)


def test_tables_are_in_the_order_of_names():
    seconds = log_seconds(SPACE, CORPUS)
    assert seconds[0, 2] == pytest.approx(math.log(100.0)) and seconds[1, 0] == pytest.approx(math.log(20.0))
    assert np.isfinite(seconds).sum() == 2
    fared = outcomes(SPACE, CORPUS)
    assert fared[0, 2] == 1.0 and fared[1, 0] == 1.0 and fared[1, 1] == 0.0
    assert np.isnan(fared[0, 3])  # ended by a limit: that is the run time's matter
    assert log_seconds(SPACE, Corpus()).shape == outcomes(SPACE, Corpus()).shape == (0, 12)


def test_totals_and_ratios_where_machines_are_told():
    columns = telling_columns(SPACE)
    total = np.log([each.features["machines"] * each.features["vcpus"] for each in SPACE.configurations])
    assert columns[:, 0] == pytest.approx((total - total.mean()) / total.std())
    assert columns.mean(axis=0) == pytest.approx(0, abs=1e-12) and columns.std(axis=0) == pytest.approx(1)
    assert columns.shape == (12, 5 + 3)
    safe, kinds = safe_columns(SPACE)
    assert safe[:, 0] == pytest.approx(
        np.log([each.features["machines"] * each.features["memory_gib"] for each in SPACE.configurations])
    )
    assert safe.shape == (12, 3) and kinds.shape == (12, 5)


def test_otherwise_prices_and_what_is_told():
    space = ConfigurationSpace(
        tuple(Configuration(f"c{at}", 1.0 + at, {"zone": float(at)}) for at in range(3))
    )
    assert telling_columns(space).shape == (3, 2)
    assert safe_columns(space)[0].shape == (3, 0) and safe_columns(space)[1].shape == (3, 1)
    alone = ConfigurationSpace((Configuration("c", 1.0, {}),))
    assert telling_columns(alone).shape == (1, 0)
