"""A learned DeepAR: forecasts by ancestral sampling, in numpy, without torch.

Salinas et al. (2020), section 3: the network reads the context, then a value is drawn from its likelihood,
which is the next step's input, and so on; many such paths give the quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.deep import deepar_metrics as metrics
from tradewind.algorithms.deep.deepar_calendar import frequency_called
from tradewind.algorithms.deep.deepar_cell import step_forward
from tradewind.algorithms.deep.deepar_sampling import Chances, draw
from tradewind.algorithms.deep.deepar_windows import History, WindowPlan, cut
from tradewind.algorithms.graph import Graph, Node, Port, constant
from tradewind.algorithms.series import SeriesBlock, unpacked_series
from tradewind.errors import Misuse, suggestion

KIND = "DeepARModel"
_PATHS_AT_ONCE = 4096
"""So many paths' gates lie in a processor's cache."""

Arrays = dict[str, NDArray[Any]]


class DeepARModel:
    """Quantiles of the `prediction_length` steps after each series.

    `arrays` has, for each layer l of the network, `lstm{l}_input` (inputs, 4 cells), `lstm{l}_recurrent`
    (cells, 4 cells) and `lstm{l}_bias` (4 cells,), with the gates in the order input, forget, candidate,
    output; `head_weights` (cells, parameters) and `head_bias`; for each category c `embedding{c}`
    (cardinality + 1, dimension), whose last row is for values never seen; and `dynamic_shift` and
    `dynamic_spread` (F,), by which dynamic features are brought to one scale. `header` says what the inputs
    of a step are and how the parameters are meant.
    """

    metric = "mean_weighted_quantile_loss"

    def __init__(self, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> None:
        self._arrays = {name: np.ascontiguousarray(value, np.float32) for name, value in arrays.items()}
        self._settings = dict(settings)
        self.frequency = frequency_called(str(settings["time_freq"]))
        self.likelihood = str(settings["likelihood"])
        self.prediction_length = int(settings["prediction_length"])
        self.levels = tuple(float(each) for each in settings["quantiles"])
        self._categories = sum(name.startswith("embedding") for name in self._arrays)
        self._layers = sum(name.endswith("_recurrent") for name in self._arrays)
        self.plan = WindowPlan(
            int(settings["context_length"]), self.prediction_length, np.array(settings["lags"], np.int64),
            self.frequency, float(settings["fallback_scale"]), self.likelihood != "beta",
            self._arrays["dynamic_shift"], self._arrays["dynamic_spread"],
        )  # fmt: skip

    def evaluate(self, batch: Batch) -> NDArray[np.float32]:
        """Forecasts (n, prediction_length, levels) of the steps after each series, at the header's quantiles.

        The rows are series as `algorithms.series` lays them out. A short or empty history is forecast from
        what there is; a category never seen has an embedding of its own. Dynamic features must go on to the
        end of the forecast: Misuse otherwise.
        """
        return self.quantiles(batch, self.levels)

    def quantiles(
        self, batch: Batch, levels: Sequence[float], *, samples: int | None = None, seed: int | None = None
    ) -> NDArray[np.float32]:
        """Forecasts (n, prediction_length, levels) at any levels between 0 and 1."""
        for level in levels:
            if not 0 < level < 1:
                raise Misuse(f"{level} is no quantile", field="levels", fix="Give numbers between 0 and 1.")
        paths = self.samples(batch, samples, seed=seed)
        return np.moveaxis(np.quantile(paths, list(levels), axis=1), 0, 2).astype(np.float32)

    def samples(
        self, batch: Batch, count: int | None = None, *, seed: int | None = None
    ) -> NDArray[np.float32]:
        """Paths (n, count, prediction_length) drawn from the model; the same for the same series and seed.

        They do not depend on which other series are asked for.
        """
        block = unpacked_series(batch, "evaluate") if len(batch) else None
        if block is None:
            return np.zeros((0, count or 1, self.prediction_length), np.float32)
        return self._paths(block, count, seed)

    def score(self, batch: Batch, metric: str = "") -> float:
        """How well the last `prediction_length` steps of each series are forecast from those before.

        `mean_weighted_quantile_loss` (over the header's quantiles), `smape` and `nd` and `mase` of the
        median, `rmse` of the mean, or `coverage` of the span between the outermost quantiles. Series that
        are not longer than `prediction_length` are left out; Misuse if none is.
        """
        metric = metric or self.metric
        if metric not in metrics.METRICS:
            raise Misuse(
                f"{metric!r} is no metric of DeepAR", field="metric", fix=suggestion(metric, metrics.METRICS)
            )
        H = self.prediction_length
        block = unpacked_series(batch, "score")
        block = block.take(block.length > H)
        if not len(block):
            raise Misuse(
                f"no series is longer than {H} steps", source="score", field="target",
                fix="Give longer series, or a model with a shorter prediction_length.",
            )  # fmt: skip
        before = block.length - H
        actual = block.target[np.arange(len(block))[:, None], before[:, None] + np.arange(H)]
        paths = self._paths(block.until(before), None, None)
        median = np.median(paths, axis=1)
        if metric == "smape":
            return metrics.smape(actual, median)
        if metric == "nd":
            return metrics.nd(actual, median)
        if metric == "rmse":
            return metrics.rmse(actual, paths.mean(axis=1, dtype=np.float64))
        if metric == "mase":
            return metrics.mase(actual, median, block.target, before, self.frequency.season)
        bands = np.moveaxis(np.quantile(paths, self.levels, axis=1), 0, 2)
        if metric == "coverage":
            return metrics.coverage(actual, bands[..., 0], bands[..., -1])
        return float(metrics.weighted_quantile_losses(actual, bands, self.levels).mean())

    def arrays(self) -> Arrays:
        """The network's parameters, float32; see the class."""
        return dict(self._arrays)

    def header(self) -> dict[str, Any]:
        """How to use the arrays."""
        return {
            **self._settings, "kind": KIND, "version": 1, "layers": self._layers,
            "inputs": [
                *(f"lag{lag}" for lag in self.plan.lags.tolist()), "observed1", *self.frequency.features,
                "log10_age", *(f"dynamic{f}" for f in range(len(self.plan.shift))), "log_scale",
                *(f"embedding{c}" for c in range(self._categories)),
            ],
            "formula": "gates = x input + h recurrent + bias; c = sigmoid(f) c + sigmoid(i) tanh(g); "
            "h = sigmoid(o) tanh(c); parameters = h head_weights + head_bias",
        }  # fmt: skip

    def graph(self) -> Graph:
        """Misuse: what DeepAR answers with is drawn at random, step by step."""
        raise Misuse(
            "ONNX cannot draw from these likelihoods step after step so that the paths repeat",
            source="DeepAR",
            field="graph",
            fix="Export one step of the network with step_graph(), and sample around it.",
        )

    def step_graph(self) -> Graph:
        """One step of the network: inputs X, h0, c0, h1, ... to the parameters Y and the states after it."""
        nodes, inputs, outputs, constants = [], [], [], {}
        x, width = "X", len(self._arrays["lstm0_input"])
        inputs.append(Port("X", ("rows", width)))
        H = len(self._arrays["head_weights"])
        constants["sizes"] = constant([H] * 4, np.int64)
        for n in range(self._layers):
            for part in ("input", "recurrent", "bias"):
                constants[f"lstm{n}_{part}"] = constant(self._arrays[f"lstm{n}_{part}"])
            inputs += [Port(f"{s}{n}", ("rows", H)) for s in ("h", "c")]
            outputs += [Port(f"next_{s}{n}", ("rows", H)) for s in ("h", "c")]
            p = f"l{n}_"
            nodes += [
                Node("MatMul", (x, f"lstm{n}_input"), (p + "x",)),
                Node("MatMul", (f"h{n}", f"lstm{n}_recurrent"), (p + "h",)),
                Node("Add", (p + "x", p + "h"), (p + "sum",)),
                Node("Add", (p + "sum", f"lstm{n}_bias"), (p + "gates",)),
                Node("Split", (p + "gates", "sizes"), tuple(p + g for g in "ifgo"), {"axis": 1}),
                *(Node("Sigmoid", (p + g,), (p + g + "s",)) for g in "ifo"),
                Node("Tanh", (p + "g",), (p + "gs",)),
                Node("Mul", (p + "fs", f"c{n}"), (p + "kept",)),
                Node("Mul", (p + "is", p + "gs"), (p + "new",)),
                Node("Add", (p + "kept", p + "new"), (f"next_c{n}",)),
                Node("Tanh", (f"next_c{n}",), (p + "squashed",)),
                Node("Mul", (p + "os", p + "squashed"), (f"next_h{n}",)),
            ]
            x = f"next_h{n}"
        constants |= {name: constant(self._arrays[name]) for name in ("head_weights", "head_bias")}
        nodes += [Node("MatMul", (x, "head_weights"), ("head",)), Node("Add", ("head", "head_bias"), ("Y",))]
        outputs.insert(0, Port("Y", ("rows", len(self._arrays["head_bias"]))))
        return Graph(tuple(nodes), tuple(inputs), tuple(outputs), constants)

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> DeepARModel:
        """The model that gave `arrays` and `header`."""
        made = ("kind", "version", "layers", "inputs", "formula")
        return cls(arrays, {name: value for name, value in header.items() if name not in made})

    # sampling

    def _paths(self, block: SeriesBlock, count: int | None, seed: int | None) -> NDArray[np.float32]:
        self._check(block)
        S = int(self._settings["num_eval_samples"] if count is None else count)
        if S < 1:
            raise Misuse(f"{S} paths", field="samples", fix="Give 1 or more.")
        seed = int(self._settings["seed"] if seed is None else seed)
        size = max(1, _PATHS_AT_ONCE // S)
        found = np.empty((len(block), S, self.prediction_length), np.float32)
        for at in range(0, len(block), size):
            part = block.take(np.arange(at, min(at + size, len(block))))
            found[at : at + size] = self._drawn(part, S, Chances(part, S, seed))
        return found

    def _check(self, block: SeriesBlock) -> None:
        layout = block.layout
        for field, wrong, there in (
            ("dynamic_feat", layout.dynamic != len(self.plan.shift), len(self.plan.shift)),
            ("cat", layout.categories != self._categories, self._categories),
        ):
            if wrong:
                raise Misuse(
                    f"the model learned with {there} of them", source="series", field=field,
                    fix="Give series as those it learned from.",
                )  # fmt: skip
        if layout.dynamic:
            last = block.length + self.prediction_length
            rows = np.arange(len(block))
            enough = last <= layout.span
            places = np.minimum(last, layout.span) - 1
            enough &= ~np.isnan(block.dynamic[rows, :, places]).any(axis=1)
            if not enough.all():
                row = int(np.flatnonzero(~enough)[0])
                raise Misuse(
                    f"it ends before the {self.prediction_length} steps after the target", source="series",
                    field=f"series {row}: dynamic_feat", fix="Give the features of the time to be forecast.",
                )  # fmt: skip

    def _drawn(self, block: SeriesBlock, S: int, chance: Chances) -> NDArray[np.float32]:
        n, H, context = len(block), self.prediction_length, self.plan.context
        windows = cut(self.plan, History.of(block), np.arange(n), block.length)
        inputs = self._embedded(windows.inputs, block.categories)
        lags = self.plan.lags
        inputs[context + 1 :, :, len(lags)] = 1  # a path has a value at every step
        states = self._states(n)
        gates = inputs[: context + 1] @ self._arrays["lstm0_input"] + self._arrays["lstm0_bias"]
        for t in range(context + 1):
            raw = self._step(gates[t], states)
        states = [np.repeat(each, S, axis=0) for each in states]
        raw, scale = np.repeat(raw, S, axis=0), np.repeat(windows.scale, S)
        paths = np.zeros((n * S, H), np.float32)
        drawn = np.zeros((n * S, H), np.float32)
        given = inputs[context + 1 :] @ self._arrays["lstm0_input"] + self._arrays["lstm0_bias"]
        for k in range(H):
            if k:
                own = np.flatnonzero(lags <= k)
                gates = np.repeat(given[k - 1], S, axis=0)
                gates += drawn[:, k - lags[own]] @ self._arrays["lstm0_input"][own]
                raw = self._step(gates, states)
            paths[:, k] = draw(self.likelihood, raw, scale, chance)
            drawn[:, k] = paths[:, k] / scale
        return paths.reshape(n, S, H)

    def _embedded(
        self, inputs: NDArray[np.float32], categories: NDArray[np.int64]
    ) -> NDArray[np.float32]:  # fmt: skip
        parts = [inputs]
        for c in range(self._categories):
            table = self._arrays[f"embedding{c}"]
            rows = table[known(categories[:, c], len(table) - 1)]
            parts.append(np.broadcast_to(rows, (len(inputs), *rows.shape)))
        return np.concatenate(parts, axis=2)

    def _states(self, n: int) -> list[NDArray[np.float32]]:
        H = len(self._arrays["head_weights"])
        return [np.zeros((n, H), np.float32) for _ in range(2 * self._layers)]

    def _step(self, gates: NDArray[np.float32], states: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """The head's outputs (n, P) after a step; `gates` are the first layer's, less the recurrent part."""
        for n in range(self._layers):
            hidden, cells = states[2 * n], states[2 * n + 1]
            if n:
                gates = states[2 * n - 2] @ self._arrays[f"lstm{n}_input"] + self._arrays[f"lstm{n}_bias"]
            gates += hidden @ self._arrays[f"lstm{n}_recurrent"]
            after, squashed, out = (np.empty_like(cells) for _ in range(3))
            step_forward(gates, cells, after, squashed, out)
            states[2 * n], states[2 * n + 1] = out, after
        found: NDArray[np.float32] = states[-2] @ self._arrays["head_weights"] + self._arrays["head_bias"]
        return found


def known(categories: NDArray[np.int64], cardinality: int) -> NDArray[np.int64]:
    """The rows of an embedding for categories; those never seen have the last."""
    return np.where(categories < cardinality, categories, cardinality)
