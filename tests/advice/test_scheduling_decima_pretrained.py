"""The weights that the package carries."""

import numpy as np
import pytest

from tradewind.advice.scheduling.decima.pretrained import WEIGHTS, trained
from tradewind.advice.scheduling.fair import Fair
from tradewind.advice.scheduling.shapes import interval_for, tpch_shaped
from tradewind.advice.scheduling.simulation import Cluster, simulate
from tradewind.data.tensor_files import read_tensors, write_tensors
from tradewind.errors import Corrupt, Misuse


def test_it_beats_fair_where_it_was_trained():
    saved, decima = [], trained()
    for seed in range(700, 704):
        jobs = tpch_shaped(20, interval=interval_for(0.85, 10), seed=seed)
        saved.append(
            simulate(Fair(), jobs, Cluster(10), seed).average
            - simulate(decima, jobs, Cluster(10), seed).average
        )
    assert np.mean(saved) > 0


def test_the_weights_are_small_and_say_where_they_come_from():
    assert WEIGHTS.stat().st_size < 40_000
    _, told = read_tensors(WEIGHTS)
    assert int(told["iteration"]) > 0 and float(told["validation"]) > 0


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(Corrupt):
        trained(tmp_path / "text")
    write_tensors(tmp_path / "other", {"a": np.zeros(3)}, {})
    with pytest.raises(Misuse, match=r"other.*is missing"):
        trained(tmp_path / "other")
