"""The laws of algorithms: what must hold of every learner, ours or a user's.

A test class of `AlgorithmLaws` that gives a `learner` and its `data` runs them all: on one process and over
the state engine, in every consistency mode, stopped, killed, continued, saved and exported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.catalogue import MODELS, model_from
from tradewind.algorithms.interface import PROGRESS, Algorithm, Model
from tradewind.algorithms.local_state import LocalState
from tradewind.data.model_files.layout import read_model_file, write_model_file
from tradewind.data.onnx_files import onnx_bytes
from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.state.client import StateClient
from tradewind.state.engine import Engine
from tradewind.state.server import Server
from tradewind.state.snapshot import Snapshot, merged, snapshot_of
from tradewind.state.transport.inprocess import InProcess
from tradewind.testing.state import Weather, Work
from tradewind.testing.watched_state import Watched
from tradewind.training.in_process import learn_here
from tradewind.training.job import Job, build_algorithm, learner_of
from tradewind.training.state_host import fresh_shards, fresh_state

BULK = "bulk_synchronous"
MODES = (BULK, "stale_synchronous", "asynchronous")
PARTS = (1, 2, 4)
"""Logical workers that the data is cut for."""

Arrays = Mapping[str, NDArray[Any]]
T = TypeVar("T")

_done: dict[Any, Any] = {}
"""What the laws of a class share, so that the same is learned once."""


class AlgorithmLaws:
    """Subclass it and give `learner` and `data`; each law is a test.

    Labels of classes are to be 0, 1, ..., as scikit-learn's face numbers them, and the first half of the rows
    is to show all of them. A few hundred rows do.
    """

    batch = 20
    """Rows a batch."""
    epochs = 2
    tolerance = 0.05
    """How much the quality may differ between two ways of learning the same."""
    exact = False
    """Whether it only adds up: then its model's arrays are the same by every way, but for rounding."""
    rounding = 1e-9
    """Of an exact learner's arrays, relative to the largest number in each."""
    onnx = True
    """Whether ONNX can express the model; if not, `graph` is to say so by Misuse."""
    onnx_within = 1e-5
    """How far onnxruntime's answers may be off, relative to the largest."""
    lower_is_better = False
    """Whether a lower quality is a better one."""
    reopened_within = 0.0
    """How far an opened model's answers may be from the saved one's, relative to the largest: by default not
    at all, more for a model that computes by other means once it is read from a file."""
    takes_missing = False
    """Whether NaN is a value like others."""
    fits = True
    """Whether it has scikit-learn's `fit` and `partial_fit` beside the three functions."""

    def learner(self) -> Any:
        """The learner under test, made anew."""
        raise NotImplementedError

    def data(self) -> Any:
        """Its data, as `open_data` takes it: (X, y), (X, y, weights) or X."""
        raise NotImplementedError

    def quality(self, model: Any) -> float:
        """How good a model is, by its own metric on all rows if not overridden."""
        return float(model.score(self.rows(), model.metric))

    def answers(self, model: Any) -> NDArray[Any]:
        """What a model says to the first rows, always the same if it is not overridden otherwise."""
        found = model.evaluate(self.rows().rows(0, 50))
        return np.asarray(found.toarray() if hasattr(found, "toarray") else found)

    def asked(self) -> dict[str, NDArray[Any]]:
        """What onnxruntime is given for the rows that `answers` are for: one dense input `X` (n, d)."""
        rows = self.rows().rows(0, 50).matrix()
        return {"X": np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows, np.float32)}

    def wrong_rows(self) -> list[Batch]:
        """Batches that are to be refused: a column too many, and NaN where it is no value."""
        rows = self.rows().rows(0, 10)
        dense = rows.matrix()
        dense = np.array(dense.toarray() if hasattr(dense, "toarray") else dense)
        wider = batch_of(np.hstack([dense, dense[:, :1]]), rows.labels, rows.weights)
        broken = dense.astype(np.float32)
        broken[3, 0] = np.nan
        return [wider] if self.takes_missing else [wider, batch_of(broken, rows.labels, rows.weights)]

    # ways of learning

    def rows(self) -> Batch:
        """All rows."""
        return self._once("rows", lambda: open_data(self.data()).head(2**62))

    def job(self, parts: int = 4, consistency: str = BULK, **changes: Any) -> Job:
        """The job that learns it over the engine."""
        settings = {"batch": self.batch, "epochs": self.epochs, "staleness": 0, **changes}
        if consistency == "stale_synchronous":
            settings["staleness"] = 1
        learner = learner_of(self.learner())
        return Job(learner=learner, data={}, parts=parts, consistency=consistency, **settings)

    def alone(self, epochs: int | None = None) -> Any:
        """The model that its three functions make in one process, of `self.epochs` if not said otherwise."""
        epochs = self.epochs if epochs is None else epochs

        def learned() -> Any:
            algorithm, state = self.learner(), LocalState()
            algorithm.initialize(state, self.rows().rows(0, algorithm.sample_size))
            for epoch in range(epochs):
                algorithm.update(state, state.draw(self.batches(epoch)), False)
            return algorithm.finalize(state)

        return self._once(("alone", epochs), learned)

    def over_the_engine(self, parts: int = 4, consistency: str = BULK) -> Snapshot:
        """The state at the end of a job that nothing happened to."""

        def learned() -> Snapshot:
            job, data = self.job(parts, consistency), open_data(self.data())
            algorithm = build_algorithm(job.learner)
            engine = fresh_state(job, algorithm, data)
            learn_here(job, algorithm, data, engine)
            assert engine.finished
            return engine.snapshot()

        return self._once(("engine", parts, consistency), learned)

    def batches(self, epoch: int = 0) -> list[Batch]:
        """The rows in their order."""
        rows = replace(self.rows(), epoch=epoch)
        return [rows.rows(at, min(at + self.batch, len(rows))) for at in range(0, len(rows), self.batch)]

    def made(self, snapshot: Snapshot, **config: Any) -> Any:
        """The model of a state at rest."""
        return self.learner().finalize(reader_of(snapshot), **config)

    def _once(self, what: Any, make: Callable[[], T]) -> T:
        key = (type(self), what)
        if key not in _done:
            _done[key] = make()
        return cast(T, _done[key])

    def same_quality(self, model: Any, reference: Any) -> None:
        """Both are equally good; of an exact learner, the same."""
        found, wanted = self.quality(model), self.quality(reference)
        assert np.isfinite(found) and abs(found - wanted) <= self.tolerance, (found, wanted)
        if self.exact:
            ours, theirs = model.arrays(), reference.arrays()
            assert ours.keys() == theirs.keys()
            for name, array in ours.items():
                assert array.shape == theirs[name].shape and close(array, theirs[name], self.rounding), name

    # the laws

    def test_law_01_its_parameters_make_it_again(self) -> None:
        """They are plain JSON values, and what they make has the same ones."""
        learner: Algorithm = self.learner()
        learner.check()
        value = learner_of(learner)
        read = msgspec.json.decode(msgspec.json.encode(value), type=type(value))
        again = build_algorithm(read)
        assert type(again) is type(learner)
        assert msgspec.json.encode(learner_of(again)) == msgspec.json.encode(value)
        assert learner.labels in ("none", "number", "binary", "classes")
        assert isinstance(learner.sample_size, int) and learner.sample_size >= 1

    def test_law_02_scikit_learns_face_learns_the_same(self) -> None:
        """`fit`, where there is one, beside the three functions."""
        assert hasattr(self.learner(), "fit") == self.fits
        if self.fits:
            self.same_quality(self._fitted(), self.alone())

    def _fitted(self) -> Any:
        learner = self.learner()
        changes = {"batch_size": self.batch, "epochs": self.epochs}
        learner.set_params(**{name: changes[name] for name in changes if name in learner.get_params()})
        rows = self.rows()
        found = learner.fit(rows.matrix(), rows.labels)
        assert found is learner
        return learner.model_

    @pytest.mark.parametrize("parts", PARTS)
    def test_law_03_any_number_of_workers_learns_the_same(self, parts: int) -> None:
        """Over the engine, bulk-synchronous, beside one process."""
        self.same_quality(self.made(self.over_the_engine(parts)), self.alone())

    @pytest.mark.parametrize("consistency", MODES)
    def test_law_04_every_consistency_learns_the_same(self, consistency: str) -> None:
        """And in each every row counts as often as in the others."""
        snapshot = self.over_the_engine(4, consistency)
        self.same_quality(self.made(snapshot), self.alone())
        assert np.isclose(weight_of(snapshot), weight_of(self.over_the_engine()), rtol=1e-9)

    @pytest.mark.parametrize("parts", (1, 4))
    def test_law_05_equal_jobs_give_equal_bits(self, parts: int) -> None:
        """Nothing but the job decides: no time, no thread, no global chance."""
        job, data = self.job(parts), open_data(self.data())
        engine = fresh_state(job, self.learner(), data)
        learn_here(job, self.learner(), data, engine)
        assert bits(engine.snapshot()) == bits(self.over_the_engine(parts))

    @pytest.mark.parametrize("turn", range(3))
    def test_law_06_a_stop_between_any_two_batches_leaves_no_trace(self, turn: int) -> None:
        """Bulk-synchronous; stopped several times, each time resumed by a learner made anew."""
        data, job = open_data(self.data()), self.job()
        chance = np.random.default_rng(turn)
        engine = fresh_state(job, self.learner(), data)
        for _ in range(50):
            left = 1 + turn * 2 + int(chance.integers(6))  # more than one: each begins a batch each time

            def leaving() -> bool:
                nonlocal left
                left -= 1
                return left < 0

            learn_here(job, build_algorithm(job.learner), data, engine, leaving)
            engine = Engine.restore(copied(engine.snapshot()))
            if engine.finished:
                break
        learn_here(job, build_algorithm(job.learner), data, engine)
        assert bits(engine.snapshot()) == bits(self.over_the_engine())

    @pytest.mark.parametrize("servers", (1, 2))
    def test_law_07_losses_in_the_middle_of_a_batch_leave_no_trace(self, servers: int) -> None:
        """Messages lost and repeated, hosts killed and replaced at any message, bulk-synchronous."""
        found, weather = self.through_weather(BULK, servers, servers)
        assert sum(weather.happened.values()) > 0
        assert bits(found) == bits(self.over_the_engine(2))

    @pytest.mark.parametrize("consistency", MODES[1:])
    def test_law_08_in_the_other_modes_every_row_counts_once(self, consistency: str) -> None:
        """Through the same losses: what a lost host had pushed of its batch is not taken in again."""
        found, _ = self.through_weather(consistency, 1, 3)
        assert np.isclose(weight_of(found), weight_of(self.over_the_engine(2)), rtol=1e-9)
        self.same_quality(self.made(found), self.alone())

    def through_weather(self, consistency: str, servers: int, seed: int) -> tuple[Snapshot, Weather]:
        """The state at the end of a job of two workers that a dozen faults befell, and what they were."""
        data, job = open_data(self.data()), self.job(2, consistency)
        shards = fresh_shards(job, self.learner(), data, None, servers)

        def hosted(worker: int) -> Work:
            part = data.part(worker, job.parts, job.batch, job.epochs, job.seed)

            def work(client: StateClient) -> None:
                stream = client.draw(part.batches(client.position.clock))
                build_algorithm(job.learner).update(client, stream, client.bulk)
                client.leave()

            return work

        weather = Weather([Server(each) for each in shards], np.random.default_rng(seed), 12)
        weather.run([hosted(worker) for worker in range(job.parts)])
        return merged([each.snapshot() for each in shards]), weather

    @pytest.mark.parametrize("synchronized", (False, True))
    def test_law_09_what_a_batch_pushes_is_decided_by_the_batch(self, synchronized: bool) -> None:
        """As often whatever was learned before, a barrier at its end if synchronized, into tables only.

        What it pulls it does not write to.
        """
        algorithm, state = self.learner(), Watched()
        algorithm.initialize(state, self.rows().rows(0, algorithm.sample_size))
        assert state.pull(PROGRESS).shape == (2,), "the table of progress is [sum of losses, weight]"
        kinds = {str(each.dtype) for each in state.state.tables.values()}
        assert kinds <= {"float32", "float64", "int64"}
        counts = []
        for _ in range(2):
            state.pushed.clear()
            algorithm.update(state, state.draw(self.batches()), synchronized)
            counts.append([len(each) for each in state.pushed])
            for batch in state.pushed:
                assert batch.count("barrier") == int(synchronized)
                assert not synchronized or batch[-1] == "barrier"
                assert PROGRESS in batch
        assert counts[0] == counts[1]
        for key, table in state.shadow.tables.items():
            assert np.array_equal(table, state.state.tables[key], equal_nan=True), f"{key} was written to"

    def test_law_10_finalize_may_be_called_again(self) -> None:
        """It gives the same model and changes nothing."""
        server = Server(Engine.restore(copied(self.over_the_engine())))
        before = bits(server.engine.snapshot())
        reader = StateClient([InProcess(server).channel()])
        first, second = (self.learner().finalize(reader) for _ in range(2))
        assert bits(server.engine.snapshot()) == before
        assert same_arrays(first.arrays(), second.arrays())
        assert text(first.header()) == text(second.header())

    def test_law_11_a_saved_model_gives_the_same_answers(self, tmp_path: Path) -> None:
        """Through its file, whose header is plain JSON; asked twice, it answers the same."""
        model = self.made(self.over_the_engine())
        write_model_file(tmp_path, model.arrays(), model.header())
        arrays, header = read_model_file(tmp_path)
        assert same_arrays(arrays, model.arrays())
        opened: Model = type(model).of(arrays, header)
        if header["kind"] in MODELS:
            opened = model_from(arrays, header)
        assert type(opened) is type(model) and text(opened.header()) == text(model.header())
        assert same_arrays(opened.arrays(), model.arrays())
        for _ in range(2):
            assert close(self.answers(opened), self.answers(model), self.reopened_within)
        assert "formula" in header, "the header says how to use the arrays"
        within = max(self.reopened_within, 1e-12)
        assert np.isclose(opened.score(self.rows(), ""), model.score(self.rows(), model.metric), rtol=within)
        with pytest.raises(Misuse):
            model.score(self.rows(), "no such metric")

    def test_law_12_onnx_gives_the_same_answers(self) -> None:
        """By onnxruntime, in float32; or the model says why it cannot."""
        model = self.made(self.over_the_engine())
        if not self.onnx:
            with pytest.raises(Misuse):
                model.graph()
            return
        runtime = pytest.importorskip("onnxruntime")
        session = runtime.InferenceSession(onnx_bytes(model.graph()), providers=["CPUExecutionProvider"])
        found = session.run(None, self.asked())[0]
        wanted = self.answers(model)
        assert found.shape == wanted.shape
        assert close(found, wanted, self.onnx_within), float(np.nanmax(np.abs(found - wanted)))

    def test_law_13_wrong_rows_are_refused_and_change_nothing(self) -> None:
        """Misuse, before a push; an empty batch is refused or passed over."""
        algorithm, state = self.learner(), Watched()
        algorithm.initialize(state, self.rows().rows(0, algorithm.sample_size))
        algorithm.update(state, state.draw(self.batches()[:2]), False)
        before = {key: table.copy() for key, table in state.state.tables.items()}
        for batch in self.wrong_rows():
            with pytest.raises(Misuse):
                algorithm.update(state, state.draw([batch]), False)
            assert same_arrays(state.state.tables, before)
        model = algorithm.finalize(state)
        with pytest.raises(Misuse):
            model.evaluate(self.wrong_rows()[0])
        try:
            algorithm.update(state, state.draw([self.rows().rows(0, 0)]), False)
        except Misuse:
            assert same_arrays(state.state.tables, before)
        assert np.isfinite(self.quality(algorithm.finalize(state)))
        with pytest.raises(Misuse):
            algorithm.finalize(state, **{"no such setting": 1})

    def test_law_14_it_learns_on(self) -> None:
        """From half of the rows to the others: no worse than the half alone, and an exact one as from all."""
        rows, half = self.rows(), len(self.rows()) // 2 // self.batch * self.batch
        job, algorithm = self.job(2, epochs=1), self.learner()
        state: Snapshot | None = None
        qualities = []
        for first, last in ((0, half), (half, len(rows))):
            data = open_data(rows.rows(first, last))
            engine = fresh_state(job, algorithm, data, state)
            learn_here(job, algorithm, data, engine)
            state = engine.snapshot()
            qualities.append(self.quality(self.made(state)))
        gain = (qualities[1] - qualities[0]) * (-1 if self.lower_is_better else 1)
        assert gain >= -self.tolerance, qualities
        assert state is not None and weight_of(state) > 0
        if self.exact:
            self.same_quality(self.made(state), self.alone(epochs=1))

    def test_law_15_partial_fit_learns_on(self) -> None:
        """Scikit-learn's face, half of the rows at a time: like the three functions in as many passes."""
        learner, rows = self.learner(), self.rows()
        assert hasattr(learner, "partial_fit") == self.fits
        if not self.fits:
            return
        if "batch_size" in learner.get_params():
            learner.set_params(batch_size=self.batch)
        half = len(rows) // 2 // self.batch * self.batch
        labels: dict[str, Any] = {}
        if learner.labels in ("binary", "classes"):
            labels = {"classes": np.unique(np.asarray(rows.labels))}
        for _ in range(self.epochs):
            for some in (rows.rows(0, half), rows.rows(half, len(rows))):
                assert learner.partial_fit(some.matrix(), some.labels, **labels) is learner
        self.same_quality(learner.model_, self.alone())


def reader_of(snapshot: Snapshot) -> StateClient:
    """A state at rest, to be read."""
    return StateClient([InProcess(Server(Engine.restore(copied(snapshot)))).channel()])


def copied(snapshot: Snapshot) -> Snapshot:
    """A snapshot that shares no memory with the engine that it is of."""
    arrays, header = snapshot.plain()
    return snapshot_of({name: array.copy() for name, array in arrays.items()}, header)


def bits(snapshot: Snapshot) -> dict[str, bytes]:
    """Every table of a state, with what its aggregation keeps beside it."""
    return {name: array.tobytes() for name, array in merged([snapshot]).arrays.items()}


def weight_of(snapshot: Snapshot) -> float:
    """The weight of all that was learned from, by the table of progress."""
    return float(reader_of(snapshot).pull(PROGRESS)[1])


def same_arrays(ours: Arrays, theirs: Arrays) -> bool:
    """Whether both have the same arrays, bit for bit."""
    return ours.keys() == theirs.keys() and all(
        array.dtype == theirs[name].dtype
        and array.shape == theirs[name].shape
        and np.asarray(array, order="C").tobytes() == np.asarray(theirs[name], order="C").tobytes()
        for name, array in ours.items()
    )


def close(ours: NDArray[Any], theirs: NDArray[Any], within: float) -> bool:
    """Whether no number differs by more than `within` of the largest, or of one if that is larger."""
    finite = np.abs(theirs[np.isfinite(theirs)]) if theirs.size else theirs
    largest = max(1.0, float(finite.max(initial=0.0)))
    return bool(np.allclose(ours, theirs, rtol=0.0, atol=within * largest, equal_nan=True))


def text(header: Mapping[str, Any]) -> str:
    """A header as JSON; ValueError or TypeError where it is none."""
    return json.dumps(dict(header), sort_keys=True, allow_nan=False)
