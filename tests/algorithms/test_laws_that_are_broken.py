"""Each law of algorithms notices a learner that breaks it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.graph import Graph
from tradewind.algorithms.interface import PROGRESS, State
from tradewind.algorithms.scaler import COUNT, MOST, SUMS, ColumnScaler, ScalerModel
from tradewind.errors import Misuse
from tradewind.testing.algorithms import AlgorithmLaws

X = np.random.default_rng(2).normal(size=(200, 3)).astype(np.float32)


class Forgetful(ColumnScaler):
    """Keeps what it learned to itself, and tells it every third batch only."""

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        kept = np.zeros(3)
        for number, batch in enumerate(stream):
            assert batch.dense is not None
            kept += batch.dense.sum(axis=0)
            state.push(SUMS, kept if number % 3 == 2 else np.zeros(3))
            kept = np.zeros(3) if number % 3 == 2 else kept
            state.push(PROGRESS, np.array([0.0, len(batch)]))
            if synchronized:
                state.barrier()


class Moody(ColumnScaler):
    """Pushes once more when the state is large."""

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        for batch in stream:
            if state.pull(PROGRESS)[1] > 150:
                state.push(COUNT, np.zeros(3))
            super().update(state, iter([batch]), synchronized)


class Scribbler(ColumnScaler):
    """Writes to what it pulled."""

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        for batch in stream:
            super().update(state, iter([batch]), synchronized)
            state.pull(SUMS)[0] += 1


class Hasty(ColumnScaler):
    """Calls the barrier before its last push."""

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        for batch in stream:
            super().update(state, iter([batch]), synchronized)
            state.push(COUNT, np.zeros(3))


class Whimsical(ColumnScaler):
    """Takes its chances from nowhere."""

    turns = itertools.count()

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        for batch in stream:
            super().update(state, iter([batch]), synchronized=False)
            state.push(SUMS, np.full(3, 1e-12 * next(self.turns)))
            if synchronized:
                state.barrier()


class Trusting(ColumnScaler):
    """Takes rows as they come."""

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        for batch in stream:
            assert batch.dense is not None
            state.push(MOST, batch.dense.max(axis=0)[:3])
            state.push(PROGRESS, np.array([0.0, len(batch)]))
            if synchronized:
                state.barrier()


class Sloppy(ColumnScaler):
    """Looks at a share of the rows that depends on how many workers there are."""

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        some = (batch.rows(0, len(batch) // state.workers) for batch in stream)
        super().update(state, some, synchronized)


class Spent(ColumnScaler):
    """Gives another model when asked again."""

    asked = itertools.count(1)

    def finalize(self, state: State, **config: Any) -> ScalerModel:
        model = super().finalize(state, **config)
        model.shift = model.shift + next(self.asked)
        return model


class Vague(ColumnScaler):
    """Its model's graph is another model's, and its header no JSON."""

    def finalize(self, state: State, **config: Any) -> ScalerModel:
        model = super().finalize(state, **config)
        return VagueModel(model.shift, model.scale, model.offset, model.mode)


class VagueModel(ScalerModel):
    def header(self) -> dict[str, Any]:
        return {**super().header(), "scale": self.scale}

    def graph(self) -> Graph:
        graph = super().graph()
        return Graph(graph.nodes, graph.inputs, graph.outputs, {**graph.constants, "shift": np.ones(3)})


class Secretive(ColumnScaler):
    """Does not say what it was made with."""

    def parameters(self) -> dict[str, Any]:
        return {"kind": "min_max", "low": 0.0, "height": 1.0}


def laws_of(learner: type) -> AlgorithmLaws:
    class Laws(AlgorithmLaws):
        exact, takes_missing = True, True

        def learner(self) -> Any:
            return learner()

        def data(self) -> Any:
            return X

    return Laws()


BROKEN: dict[type, list[Callable[[AlgorithmLaws], None]]] = {
    Secretive: [lambda laws: laws.test_law_01_its_parameters_make_it_again()],
    Sloppy: [lambda laws: laws.test_law_03_any_number_of_workers_learns_the_same(2)],
    Whimsical: [lambda laws: laws.test_law_05_equal_jobs_give_equal_bits(1)],
    Forgetful: [
        lambda laws: laws.test_law_06_a_stop_between_any_two_batches_leaves_no_trace(1),
        lambda laws: laws.test_law_07_losses_in_the_middle_of_a_batch_leave_no_trace(1),
    ],
    Moody: [lambda laws: laws.test_law_09_what_a_batch_pushes_is_decided_by_the_batch(False)],
    Scribbler: [lambda laws: laws.test_law_09_what_a_batch_pushes_is_decided_by_the_batch(False)],
    Hasty: [lambda laws: laws.test_law_09_what_a_batch_pushes_is_decided_by_the_batch(True)],
    Spent: [lambda laws: laws.test_law_10_finalize_may_be_called_again()],
    Vague: [lambda laws: laws.test_law_12_onnx_gives_the_same_answers()],
    Trusting: [lambda laws: laws.test_law_13_wrong_rows_are_refused_and_change_nothing()],
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda kind: kind.__name__)
def test_a_broken_law_is_noticed(broken: type) -> None:
    for law in BROKEN[broken]:
        with pytest.raises((AssertionError, Misuse, pytest.fail.Exception)):
            law(laws_of(broken))


def test_a_header_that_is_no_json_is_noticed(tmp_path) -> None:
    with pytest.raises(Exception, match="JSON"):
        laws_of(Vague).test_law_11_a_saved_model_gives_the_same_answers(tmp_path)
