"""DeepAR: one autoregressive LSTM for many series, which forecasts distributions.

Salinas, Flunkert, Gasthaus and Januschowski, "DeepAR: Probabilistic forecasting with autoregressive recurrent
networks", International Journal of Forecasting 36 (2020), 1181-1191; options as SageMaker's DeepAR has them
(Liberty et al., SIGMOD 2020, section 5).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.deep.deepar_calendar import MOST_LAGS_BACK, Frequency, frequency_called
from tradewind.algorithms.deep.deepar_model import DeepARModel, known
from tradewind.algorithms.deep.deepar_network import DeepARNetwork, losses
from tradewind.algorithms.deep.deepar_sampling import PARAMETERS_OF
from tradewind.algorithms.deep.deepar_windows import (
    History,
    WindowPlan,
    cut,
    scales_of,
    typical_scale,
)
from tradewind.algorithms.deep.gradients import (
    OPTIMIZERS,
    Facts,
    GradientLearner,
    check_config,
    flat,
    load,
)
from tradewind.algorithms.interface import PROGRESS
from tradewind.algorithms.local_state import LocalState
from tradewind.algorithms.series import (
    Series,
    SeriesBlock,
    lengths_of,
    series_rows,
    unpacked_series,
    wide_rows,
)
from tradewind.algorithms.shuffling import shuffled
from tradewind.errors import Misuse

_CATEGORIES, _DYNAMIC, _TYPICAL, _INPUTS = "categories", "dynamic", "typical", "inputs"
_UNKNOWN_SHARE = 0.05
"""Of the windows whose category is taken for one never seen, so that there is an embedding for such."""
_WINDOWS_LOOKED_AT = 256
"""From so many windows of the first rows the inputs' means and spreads are taken."""
_LIKELIHOODS = set(PARAMETERS_OF)
_CONFIG = ("quantiles", "num_eval_samples", "prediction_length", "seed")


class DeepAR(GradientLearner):
    """Forecasts of many series by one network, as quantiles.

    `fit`, `predict` and `score` take series as a list of mappings with `start`, `target` and optionally `cat`
    and `dynamic_feat` (see `algorithms.series`), as sparse rows of that layout, or as a table (series, steps)
    with NaN where values are missing and after the end, whose first column is 1970-01-01 and whose columns
    are as many as `fit` had; `wide_rows` makes rows of any other. A series with
    fewer than `prediction_length` steps is not learned from; `fit` warns, and sets `ignored_` to how many
    there were. What is missing is not learned, and stood in for by the last value before it where the network
    looks back.

    Every batch of `batch_size` series is cut into `windows_per_series` windows each, so that with the usual
    values a step learns from 128 windows. A window is `context_length` steps and `prediction_length` more
    anywhere in its series, also before its start, where it is filled with zeros. Values are divided by the
    mean absolute value of the window's context.

    Time a batch is O(windows (context_length + prediction_length) num_layers num_cells (inputs + num_cells));
    memory the same without one `num_cells`, and O(span) a series. Forecasts cost that a path.

    Args:
        time_freq: `min`, `H`, `D`, `W` or `M`, with a number before it for a multiple, such as `15min`.
        prediction_length: how many steps are forecast.
        context_length: how many the network reads before them; None is `prediction_length`.
        likelihood: `student_t`, `gaussian`, `negative_binomial` (counts), `beta` (values in [0, 1]) or
            `deterministic_l1` (no distribution).
        num_layers, num_cells: of the LSTM.
        dropout: of what goes from layer to layer.
        embedding_dimension: of each category.
        cardinality: how many values each category has, None for as many as the first rows show. Greater
            values share the embedding of those never seen.
        lags: how many steps back the network looks, None for what the frequency suggests.
        windows_per_series: windows a series each time it is read.
        weighted_sampling: whether series with larger values give more of a batch's windows.
        averaging: the forecasting parameters are a moving average of those that learn, with this decay; 0 is
            none.
        num_eval_samples: paths a forecast is made of.
        quantiles: what is forecast, rising.
        early_stopping_patience: epochs of `fit` without a better loss until it stops; the best are kept. None
            goes through all. Jobs do not stop early.
        optimizer, rate, clip, weight_decay, batch_size, epochs, seed: see `GradientLearner`.
    """

    draws: ClassVar[bool] = False
    labels: ClassVar[str] = "none"
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "time_freq": [str],
        "prediction_length": [Interval(Integral, 1, None, closed="left")],
        "context_length": [None, Interval(Integral, 1, None, closed="left")],
        "likelihood": [StrOptions(_LIKELIHOODS)],
        "num_layers": [Interval(Integral, 1, 8, closed="both")],
        "num_cells": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "embedding_dimension": [Interval(Integral, 1, None, closed="left")],
        "cardinality": [None, "array-like"],
        "lags": [None, "array-like"],
        "windows_per_series": [Interval(Integral, 1, None, closed="left")],
        "weighted_sampling": ["boolean"],
        "averaging": [Interval(Real, 0, 1, closed="left")],
        "num_eval_samples": [Interval(Integral, 1, None, closed="left")],
        "quantiles": ["array-like"],
        "early_stopping_patience": [None, Interval(Integral, 1, None, closed="left")],
        "optimizer": [StrOptions(set(OPTIMIZERS))],
        "rate": [None, Interval(Real, 0, None, closed="neither")],
        "clip": [None, Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "seed": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        time_freq: str = "H",
        prediction_length: int = 24,
        *,
        context_length: int | None = None,
        likelihood: str = "student_t",
        num_layers: int = 2,
        num_cells: int = 40,
        dropout: float = 0.1,
        embedding_dimension: int = 10,
        cardinality: Sequence[int] | None = None,
        lags: Sequence[int] | None = None,
        windows_per_series: int = 4,
        weighted_sampling: bool = False,
        averaging: float = 0.99,
        num_eval_samples: int = 100,
        quantiles: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        early_stopping_patience: int | None = None,
        optimizer: str = "adam",
        rate: float | None = 1e-3,
        clip: float | None = 10.0,
        weight_decay: float = 0.0,
        batch_size: int = 32,
        epochs: int = 100,
        seed: int = 0,
    ) -> None:
        self.time_freq = time_freq
        self.prediction_length = prediction_length
        self.context_length = context_length
        self.likelihood = likelihood
        self.num_layers = num_layers
        self.num_cells = num_cells
        self.dropout = dropout
        self.embedding_dimension = embedding_dimension
        self.cardinality = cardinality
        self.lags = lags
        self.windows_per_series = windows_per_series
        self.weighted_sampling = weighted_sampling
        self.averaging = averaging
        self.num_eval_samples = num_eval_samples
        self.quantiles = quantiles
        self.early_stopping_patience = early_stopping_patience
        self.optimizer = optimizer
        self.rate = rate
        self.clip = clip
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.seed = seed

    def check(self) -> None:
        """Raise Misuse for an argument that cannot be meant."""
        super().check()
        frequency_called(self.time_freq)
        _check_quantiles(self.quantiles)
        if self.lags is not None:
            lags = list(self.lags)
            whole = all(isinstance(each, Integral) and 1 <= each <= MOST_LAGS_BACK for each in lags)
            if not lags or not whole or sorted(set(lags)) != lags or lags[0] != 1:
                raise Misuse(
                    f"{lags} are no lags", source="DeepAR", field="lags",
                    fix=f"Give rising whole numbers from 1 to {MOST_LAGS_BACK}, 1 among them.",
                )  # fmt: skip
        if self.cardinality is not None and not all(
            isinstance(each, Integral) and each >= 1 for each in self.cardinality
        ):
            raise Misuse(
                f"{self.cardinality} are no counts", source="DeepAR", field="cardinality",
                fix="Give how many values each category has.",
            )  # fmt: skip

    # what `GradientLearner` asks for

    def fact_names(self) -> tuple[str, ...]:
        """The tables of what the first rows showed."""
        return _CATEGORIES, _DYNAMIC, _TYPICAL, _INPUTS

    def facts(self, sample: Batch) -> dict[str, NDArray[Any]]:
        """The number of values of each category, the scales of dynamic features and inputs, what is typical.

        Raises Misuse where no series is long enough to learn from.
        """
        block = unpacked_series(sample, "initialize")
        long = block.length >= self.prediction_length
        if not long.any():
            raise Misuse(
                f"every series is shorter than {self.prediction_length} steps", source="initialize",
                field="prediction_length", fix="Give longer series, or a shorter prediction_length.",
            )  # fmt: skip
        if np.isnan(block.target[long]).all():
            raise Misuse("no value is there", source="initialize", field="target", fix="Give some values.")
        counts = self.cardinality
        if counts is None:
            counts = block.categories.max(axis=0, initial=0) + 1 if block.layout.categories else []
        elif len(counts) != block.layout.categories:
            raise Misuse(
                f"{len(counts)} given, the series have {block.layout.categories} categories",
                source="DeepAR",
                field="cardinality",
                fix="Give one count a category.",
            )
        F = block.layout.dynamic
        spread = np.nanstd(block.dynamic.astype(np.float64), axis=(0, 2)) if F else np.zeros(0)
        mean = np.nanmean(block.dynamic.astype(np.float64), axis=(0, 2)) if F else np.zeros(0)
        found = {
            _CATEGORIES: np.array([block.layout.categories, *counts], np.int64),
            _DYNAMIC: np.array([F, *mean, *np.where(spread > 0, spread, 1)], np.float64),
            _TYPICAL: np.array([typical_scale(block), int((~long).sum())], np.float64),
        }
        long_ones, chance = block.take(long), np.random.Generator(np.random.Philox(self.seed))
        if len(long_ones) > _WINDOWS_LOOKED_AT:
            long_ones = long_ones.take(chance.permutation(len(long_ones))[:_WINDOWS_LOOKED_AT])
        rows, plan = np.arange(_WINDOWS_LOOKED_AT) % len(long_ones), self._plan(found)
        windows = cut(plan, History.of(long_ones), rows, self._moments(long_ones, rows, chance))
        return {**found, _INPUTS: scales_of(plan, windows, int(block.length.max()))}

    def network(self, facts: Facts) -> nn.Module:
        """The network; beside it the average of its parameters, where one is kept."""
        network = DeepARNetwork(
            self._plan(facts).width, tuple(int(each) for each in facts[_CATEGORIES][1:]),
            self.embedding_dimension, self.num_cells, self.num_layers, self.dropout, self.likelihood,
            facts[_INPUTS],
        )  # fmt: skip
        if self.averaging:
            network.register_buffer("average", torch.from_numpy(flat(network)).double())
        return network

    def loss(
        self, network: nn.Module, batch: Batch, facts: Facts, chance: torch.Generator, seen: float
    ) -> tuple[torch.Tensor, float]:
        """The losses of windows drawn from the batch's series, summed over the values that are there."""
        block = unpacked_series(batch, "update")
        plan, counts = self._plan(facts), facts[_CATEGORIES]
        for field, found, learned in (
            ("cat", block.layout.categories, int(counts[0])),
            ("dynamic_feat", block.layout.dynamic, len(plan.shift)),
        ):
            if found != learned:
                raise Misuse(
                    f"{found} where the first series have {learned}", source="update", field=field,
                    fix="Give every series the same number.",
                )  # fmt: skip
        block = block.take(block.length >= self.prediction_length)
        self._check_support(block)
        if not len(block):
            return torch.zeros(()), 0.0
        generator = np.random.Generator(
            np.random.Philox(int(torch.randint(2**62, (1,), generator=chance)))
        )  # fmt: skip
        rows = self._rows_of_windows(block, generator)
        windows = cut(plan, History.of(block), rows, self._moments(block, rows, generator))
        categories = np.stack(
            [known(block.categories[rows, c], int(counts[1 + c])) for c in range(int(counts[0]))]
            or [np.zeros(0, np.int64)],
            axis=-1,
        )
        if counts[0]:
            hidden = generator.random(categories.shape) < _UNKNOWN_SHARE
            categories = np.where(hidden, counts[1:], categories)
        raw = network(torch.from_numpy(windows.inputs), torch.from_numpy(categories), chance)
        each = losses(self.likelihood, raw, torch.from_numpy(windows.target), torch.from_numpy(windows.scale))
        weight = float(windows.observed.sum())
        if self.averaging:
            steps = seen / max(weight, 1.0)
            share = 1 - min(self.averaging, (1 + steps) / (10 + steps))
            network.average.lerp_(torch.from_numpy(flat(network)).double(), share)  # type: ignore[operator]
        return (each * torch.from_numpy(windows.observed)).sum(), weight

    def model(self, network: nn.Module, facts: Facts, **config: Any) -> DeepARModel:
        """The model; `quantiles`, `num_eval_samples`, `prediction_length` and `seed` may be given anew."""
        check_config(config, _CONFIG)
        plan = self._plan(facts)
        wanted = {name: config.get(name, getattr(self, name)) for name in _CONFIG}
        _check_quantiles(wanted["quantiles"])
        for name in ("num_eval_samples", "prediction_length"):
            if wanted[name] < 1:
                raise Misuse(f"{wanted[name]} is less than 1", field=name, fix="Give 1 or more.")
        assert isinstance(network, DeepARNetwork)
        if self.averaging:
            load(network, network.average.numpy())  # type: ignore[operator]
        arrays = {**network.plain(), "dynamic_shift": plan.shift, "dynamic_spread": plan.spread}
        settings = {
            "time_freq": self.time_freq, "likelihood": self.likelihood, "context_length": plan.context,
            "lags": plan.lags.tolist(), "fallback_scale": plan.fallback,
            "ignored_series": int(facts[_TYPICAL][1]), "quantiles": [float(q) for q in wanted["quantiles"]],
            **{name: int(wanted[name]) for name in ("num_eval_samples", "prediction_length", "seed")},
        }  # fmt: skip
        return DeepARModel(arrays, settings)

    def _plan(self, facts: Facts) -> WindowPlan:
        frequency: Frequency = frequency_called(self.time_freq)
        lags = frequency.lags() if self.lags is None else self.lags
        dynamic = np.asarray(facts[_DYNAMIC][1:], np.float32)
        F = len(dynamic) // 2
        return WindowPlan(
            self.prediction_length if self.context_length is None else int(self.context_length),
            int(self.prediction_length), np.array(lags, np.int64), frequency, float(facts[_TYPICAL][0]),
            self.likelihood != "beta", dynamic[:F], dynamic[F:],
        )  # fmt: skip

    def _rows_of_windows(self, block: SeriesBlock, chance: np.random.Generator) -> NDArray[np.int64]:
        """Which series each window is of."""
        n = len(block)
        if not self.weighted_sampling:
            return np.repeat(np.arange(n), self.windows_per_series)
        there = ~np.isnan(block.target)
        sums = np.where(there, np.abs(block.target), 0).sum(axis=1, dtype=np.float64)
        weights = 1 + sums / np.maximum(there.sum(axis=1), 1)  # as the paper's scale, one and the mean
        return chance.choice(n, n * self.windows_per_series, p=weights / weights.sum())

    def _moments(
        self, block: SeriesBlock, rows: NDArray[np.int64], chance: np.random.Generator
    ) -> NDArray[np.int64]:  # fmt: skip
        """The first step to be predicted of a window of each of the series `rows`, anywhere in it."""
        return chance.integers(0, block.length[rows] - self.prediction_length + 1)

    def _check_support(self, block: SeriesBlock) -> None:
        """Raise Misuse for a value that the likelihood cannot give."""
        if self.likelihood in ("negative_binomial", "beta") and len(block):
            low, high = np.nanmin(block.target, initial=0), np.nanmax(block.target, initial=0)
            if low < 0 or (self.likelihood == "beta" and high > 1):
                raise Misuse(
                    f"{low if low < 0 else high:g} cannot come from a {self.likelihood} likelihood",
                    source="series", field="target",
                    fix="Give values in [0, 1]." if self.likelihood == "beta" else "Give counts from 0 up.",
                )  # fmt: skip

    # scikit-learn's face

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from series, from scratch; `y` is not read."""
        self._validate_params()
        self.check()
        batch = self._rows(X, reset=True)
        self._state = LocalState()
        self.initialize(self._state, batch.rows(0, min(len(batch), self.sample_size)))
        self.losses_: list[float] = []
        best, patience = np.inf, self.early_stopping_patience
        since, kept = 0, {}
        for epoch in range(self.epochs):
            before = self._state.pull(PROGRESS).copy()
            self._learn(self._ordered(batch, epoch))
            total, weight = self._state.pull(PROGRESS) - before
            self.losses_.append(float(total / max(weight, 1.0)))
            since += 1
            if patience is not None and self.losses_[-1] < best:
                best, since = self.losses_[-1], 0
                kept = {name: table.copy() for name, table in self._state.tables.items() if name != PROGRESS}
            if patience is not None and since >= patience:
                break
        for name, table in kept.items():
            self._state.tables[name][...] = table
        self.n_iter_ = len(self.losses_)
        self._made()
        self.ignored_ = int((lengths_of(batch) < self.prediction_length).sum())
        if self.ignored_:
            warnings.warn(
                f"{self.ignored_} of the series are shorter than {self.prediction_length} steps and were not "
                "learned from",
                UserWarning,
                stacklevel=2,
            )
        return self

    def predict(self, X: Any) -> NDArray[np.float32]:
        """Forecasts (series, prediction_length, quantiles) of the steps after each series."""
        check_is_fitted(self)
        return self._model.evaluate(self._rows(X, reset=False))  # type: ignore[no-any-return]

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the mean weighted quantile loss of the last `prediction_length` steps of the series.

        Other metrics are `model_.score`'s.
        """
        check_is_fitted(self)
        return -float(self._model.score(self._rows(X, reset=False), ""))

    def _ordered(self, batch: Batch, epoch: int) -> Batch:
        return shuffled(batch, self.seed, epoch)

    def _rows(self, X: Any, y: Any = None, *, reset: bool, classes: Any = None) -> Batch:
        if isinstance(X, Batch):
            return X
        if hasattr(X, "tocsr"):
            return batch_of(validate_data(self, X, accept_sparse="csr", reset=reset, dtype=np.float32))
        if isinstance(X, Mapping | Series):
            raise Misuse("this is one series", source="DeepAR", field="X", fix="Give a list of series.")
        if isinstance(X, Sequence) and len(X) and isinstance(X[0], Mapping | Series):
            return series_rows(X, "X")
        table = validate_data(self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan")
        return wide_rows(table, source="X")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _check_quantiles(given: Sequence[float]) -> None:
    levels = list(given)
    fine = levels and all(isinstance(each, Real) and 0 < each < 1 for each in levels)
    if not fine or any(after <= before for before, after in pairwise(levels)):
        raise Misuse(
            f"{levels} are no quantiles", source="DeepAR", field="quantiles",
            fix="Give rising numbers between 0 and 1.",
        )  # fmt: skip
