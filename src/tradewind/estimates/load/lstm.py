"""Load moves as a recurrent network learned from its own past: MArk's forecast.

Zhang, Yu, Wang and Yan, "MArk: exploiting cloud services for cost-effective, SLO-aware machine learning
inference serving", USENIX ATC 2019, section 4, and its released `workload/prediction/train.py`: the first
difference of the load, scaled to [-1, 1], goes through an LSTM of 32 units and a dense layer that says every
difference to come at once, learned by Adam on the squared error. Here it is learned in batches of windows in
place of one long row, says 60 minutes in place of 50, and is learned anew every week (every day, in the
record's first week) from the six days before, which makes equal questions get equal answers. Until a day is
known it is persistence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tradewind.estimates.load.interface import LoadForecast
from tradewind.estimates.load.past_errors import checked, forecast_by

HIDDEN = 32
AHEAD = 60
"""Intervals that the network says."""
WINDOW = 30
"""Intervals that it reads."""
_DAY = 1440
"""Intervals of a day of minutes; of others as many are taken."""
_LEARNED = 6 * _DAY
_STRIDE = 3
"""Intervals from one window that is learned from to the next."""
_BATCH = 64
_EPOCHS = 8
_STEP = 3e-3
"""Adam's, falling to nothing along a half cosine."""

Array = NDArray[np.float32]
Weights = dict[str, Array]


class Lstm:
    """MArk's: the network of the week, or persistence."""

    name = "lstm"

    def forecast(self, rates: NDArray[np.float64], at: float, interval: float, steps: int) -> LoadForecast:
        """The next `steps` intervals after `at`. Raises Misuse for rates that are none."""
        network = _network_for(checked(rates, interval, steps), at, interval)
        moves: dict[int, NDArray[np.float64]] = {}

        def moved(known: NDArray[np.float64], origins: NDArray[np.int64], ahead: int) -> NDArray[np.float64]:
            here = np.asarray(known[origins], np.float64)
            if network is None:
                return here
            fresh = np.array([each for each in origins.tolist() if each not in moves], np.int64)
            if len(fresh):
                moves.update(zip(fresh.tolist(), network.moves(known, fresh), strict=True))
            told = np.array([moves[each][min(ahead, AHEAD) - 1] for each in origins.tolist()])
            return np.asarray(np.maximum(here + told, 0.0), np.float64)

        return forecast_by(moved, rates, at, interval, steps, after=min(WINDOW, len(rates) - 1))


class Network:
    """Weights, and the scale of what goes through them."""

    def __init__(self, weights: Weights, low: float, high: float) -> None:
        self.weights, self._low, self._range = weights, low, max(high - low, 1e-9)

    def moves(self, rates: NDArray[np.float64], origins: NDArray[np.int64]) -> NDArray[np.float64]:
        """(N, AHEAD) by how much the rate will differ from that at each origin."""
        steps = self.scaled(np.diff(rates, prepend=rates[0]))
        there = np.maximum(origins[:, None] - np.arange(WINDOW - 1, -1, -1), 0)
        told = said(self.weights, steps[there]).astype(np.float64)
        return np.cumsum((told + 1.0) / 2.0 * self._range + self._low, axis=1)

    def scaled(self, differences: NDArray[np.float64]) -> Array:
        """To [-1, 1] over those learned from."""
        return np.asarray(2.0 * (differences - self._low) / self._range - 1.0, np.float32)


def _network_for(rates: NDArray[np.float64], at: float, interval: float) -> Network | None:
    """The one learned at the last turn of a week of intervals, or of a day where no week is known before it;
    None where there is no day."""
    moment = round(at / interval)
    for turn, least in ((7 * _DAY, _LEARNED), (_DAY, _DAY)):
        cut = len(rates) - moment % turn
        if cut >= least:
            return _learned(_Past(rates[max(0, cut - _LEARNED) : cut].copy()))
    return None


class _Past:
    """Rates that are equal where their bytes are."""

    def __init__(self, rates: NDArray[np.float64]) -> None:
        self.rates = rates
        self._digest = hashlib.sha256(rates.tobytes()).digest()

    def __hash__(self) -> int:
        return hash(self._digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Past) and self._digest == other._digest


@lru_cache(maxsize=16)
def _learned(past: _Past) -> Network:
    return learn(past.rates)


def learn(rates: NDArray[np.float64], *, seed: int = 0, epochs: int = _EPOCHS) -> Network:
    """The network after so many passes over the windows of `rates` (n,), n above WINDOW + AHEAD; the same
    for the same seed and linear algebra."""
    differences = np.diff(rates)
    chance = np.random.default_rng(seed)
    network = Network(_drawn(chance), float(differences.min()), float(differences.max()))
    steps = network.scaled(differences)
    starts = np.arange(0, len(steps) - WINDOW - AHEAD + 1, _STRIDE)
    inputs = steps[starts[:, None] + np.arange(WINDOW)]
    targets = steps[starts[:, None] + WINDOW + np.arange(AHEAD)]
    first = {name: np.zeros_like(each) for name, each in network.weights.items()}
    second = {name: np.zeros_like(each) for name, each in network.weights.items()}
    total, done = epochs * -(-len(starts) // _BATCH), 0
    for _ in range(epochs):
        order = chance.permutation(len(starts))
        for low in range(0, len(order), _BATCH):
            rows = order[low : low + _BATCH]
            _, slopes = loss(network.weights, inputs[rows], targets[rows])
            done += 1
            step = _STEP * 0.5 * (1.0 + np.cos(np.pi * done / total))
            for name, slope in slopes.items():
                first[name] = 0.9 * first[name] + 0.1 * slope
                second[name] = 0.999 * second[name] + 0.001 * slope**2
                mean, square = first[name] / (1 - 0.9**done), second[name] / (1 - 0.999**done)
                network.weights[name] -= np.float32(step) * mean / (np.sqrt(square) + np.float32(1e-8))
    return network


def _drawn(chance: np.random.Generator) -> Weights:
    """Weights of unit gain, biases of 0, but 1 for the forget gate's (input, forget, cell, output)."""
    weights: Weights = {
        "into": chance.standard_normal((1, 4 * HIDDEN)).astype(np.float32),
        "again": (chance.standard_normal((HIDDEN, 4 * HIDDEN)) / np.sqrt(HIDDEN)).astype(np.float32),
        "bias": np.zeros(4 * HIDDEN, np.float32),
        "out": (0.1 * chance.standard_normal((HIDDEN, AHEAD)) / np.sqrt(HIDDEN)).astype(np.float32),
        "out_bias": np.zeros(AHEAD, np.float32),
    }
    weights["bias"][HIDDEN : 2 * HIDDEN] = 1.0
    return weights


def _sigmoid(values: Array) -> Array:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)), np.float32)


def said(weights: Mapping[str, Array], inputs: Array) -> Array:
    """(N, AHEAD) what the network says after the rows of (N, WINDOW) inputs."""
    hidden = np.zeros((len(inputs), HIDDEN), np.float32)
    cell = np.zeros_like(hidden)
    for step in range(inputs.shape[1]):
        gates = inputs[:, step : step + 1] * weights["into"] + hidden @ weights["again"] + weights["bias"]
        into, forget, new, out = np.split(gates, 4, axis=1)
        cell = _sigmoid(forget) * cell + _sigmoid(into) * np.tanh(new)
        hidden = _sigmoid(out) * np.tanh(cell)
    return np.asarray(hidden @ weights["out"] + weights["out_bias"], np.float32)


def loss(weights: Mapping[str, Array], inputs: Array, targets: Array) -> tuple[float, Weights]:
    """The mean squared error over (N, AHEAD) targets, and its slope in every weight."""
    many, length = inputs.shape
    hidden = np.zeros((many, HIDDEN), inputs.dtype)
    cell = np.zeros_like(hidden)
    kept = []
    for step in range(length):
        before, old = hidden, cell
        gates = inputs[:, step : step + 1] * weights["into"] + before @ weights["again"] + weights["bias"]
        into, forget, out = (
            0.5 * (1.0 + np.tanh(0.5 * gates[:, part * HIDDEN : (part + 1) * HIDDEN])) for part in (0, 1, 3)
        )
        new = np.tanh(gates[:, 2 * HIDDEN : 3 * HIDDEN])
        cell = forget * old + into * new
        bent = np.tanh(cell)
        hidden = out * bent
        kept.append((before, old, into, forget, new, out, bent))
    errors = hidden @ weights["out"] + weights["out_bias"] - targets
    by_error = 2.0 * errors / errors.size
    slopes = {name: np.zeros_like(each) for name, each in weights.items()}
    slopes["out"] += hidden.T @ by_error
    slopes["out_bias"] += by_error.sum(axis=0)
    by_hidden, by_cell = by_error @ weights["out"].T, np.zeros_like(cell)
    for step in range(length - 1, -1, -1):
        before, old, into, forget, new, out, bent = kept[step]
        by_cell = by_cell + by_hidden * out * (1.0 - bent**2)
        by_gates = np.concatenate(
            [
                by_cell * new * into * (1.0 - into),
                by_cell * old * forget * (1.0 - forget),
                by_cell * into * (1.0 - new**2),
                by_hidden * bent * out * (1.0 - out),
            ],
            axis=1,
        )
        slopes["into"] += inputs[:, step : step + 1].T @ by_gates
        slopes["again"] += before.T @ by_gates
        slopes["bias"] += by_gates.sum(axis=0)
        by_hidden, by_cell = by_gates @ weights["again"].T, by_cell * forget
    return float((errors**2).mean()), slopes
