"""A small network that was taught elsewhere and learns anew from a few samples, some of its layers kept.

Moradi, Flinta, Johnsson and Stadler, "Performance prediction in dynamic clouds using transfer learning" (IM
2019): a network that foretells a service's metric from those of its infrastructure is taught in a source
environment; in the target one its first layers are kept and the others taught again from few samples. Here:
two hidden layers of rectifiers, full batches, Adam (Kingma and Ba, ICLR 2015), and a choice of how many
layers are kept by leaving out one target sample after another, among them all taught on (`fine_tuned`), none
known (`scratch`) and nothing but the level taught (`source_only`).
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from tradewind.errors import Misuse

Floats = NDArray[np.float64]
Layer = tuple[Floats, Floats]

SOURCE_ONLY, FINE_TUNED, KEEP_ONE, KEEP_TWO, SCRATCH = (
    "source_only", "fine_tuned", "keep_one", "keep_two", "scratch",
)  # fmt: skip
WAYS = (SOURCE_ONLY, FINE_TUNED, KEEP_ONE, KEEP_TWO, SCRATCH)
"""From the least that is taught anew to the most, as far as two layers and a head go."""
_KEPT = {FINE_TUNED: 0, KEEP_ONE: 1, KEEP_TWO: 2, SCRATCH: 0}
_RATE, _DECAY = 0.01, 1e-4
_FADE, _FADE_SQUARES, _TINY = 0.9, 0.999, 1e-8


class TransferNetwork(Struct, frozen=True):
    """A taught network: columns are standardised as the source's are."""

    layers: tuple[Layer, ...]
    """Weights (inputs, outputs) and biases (outputs,); the last has one output."""
    means: Floats
    deviations: Floats
    """(d,) of the source's columns."""
    level: float = 0.0
    """What is added to every output."""

    def predict(self, rows: ArrayLike) -> Floats:
        """(k,) outputs for rows (k, d)."""
        held = (np.asarray(rows, np.float64) - self.means) / self.deviations
        found: Floats = _passed(self.layers, held)[-1][:, 0] + self.level
        return found


def taught(
    rows: ArrayLike, targets: ArrayLike, *, width: int = 32, rounds: int = 300, seed: int = 0
) -> TransferNetwork:
    """A network taught from scratch on (n, d) rows and (n,) targets. O(rounds n width (d + width))."""
    X, y = _checked(rows, targets)
    means, deviations = X.mean(axis=0), X.std(axis=0)
    deviations = np.where(deviations > 0, deviations, 1.0)
    level = float(y.mean())
    layers = _started(X.shape[1], width, seed)
    layers = _descended(layers, (X - means) / deviations, y - level, 0, rounds)
    return TransferNetwork(layers, means, deviations, level)


def transferred(
    source: TransferNetwork,
    rows: ArrayLike,
    targets: ArrayLike,
    way: str,
    *,
    rounds: int = 100,
    seed: int = 0,
) -> TransferNetwork:
    """The network after a few samples of the target environment, in one of `WAYS`.

    The level is always that of the target: what the source's network leaves over on average.
    """
    X, y = _checked(rows, targets)
    if way not in WAYS:
        raise Misuse(f"no way {way!r}", source="transfer", field="way", fix=f"Name one of {WAYS}.")
    held = (X - source.means) / source.deviations
    width = source.layers[0][0].shape[1]
    layers = source.layers
    if way == SCRATCH:
        layers = _started(X.shape[1], width, seed)
    kept = _KEPT.get(way, 0)
    if kept:  # the layers after those that are kept begin anew
        layers = (*layers[:kept], *_started(X.shape[1], width, seed)[kept:])
        layers = (*layers[:-1], (np.zeros_like(layers[-1][0]), np.zeros(1)))
    level = float(np.mean(y - _passed(layers, held)[-1][:, 0]))
    if way != SOURCE_ONLY:
        layers = _descended(layers, held, y - level, kept, rounds)
    return TransferNetwork(layers, source.means, source.deviations, level)


def chosen_transfer(
    source: TransferNetwork,
    rows: ArrayLike,
    targets: ArrayLike,
    *,
    ways: tuple[str, ...] = WAYS,
    rounds: int = 100,
    seed: int = 0,
) -> tuple[str, TransferNetwork, float]:
    """The way with the least squared error over samples left out one by one, its network, the error's root.

    With two samples or fewer there is nothing to choose by, and the source's network is taken as it is.
    """
    X, y = _checked(rows, targets)
    if len(y) < 3:
        network = transferred(source, X, y, SOURCE_ONLY)
        return SOURCE_ONLY, network, float(np.std(y - network.predict(X)))
    errors = []
    for way in ways:
        wrong = []
        for out in range(len(y)):
            rest = np.arange(len(y)) != out
            network = transferred(source, X[rest], y[rest], way, rounds=rounds, seed=seed)
            wrong.append(float(network.predict(X[out : out + 1])[0] - y[out]))
        errors.append(float(np.mean(np.square(wrong))))
    best = int(np.argmin(errors))
    network = transferred(source, X, y, ways[best], rounds=rounds, seed=seed)
    return ways[best], network, float(np.sqrt(errors[best]))


def _checked(rows: ArrayLike, targets: ArrayLike) -> tuple[Floats, Floats]:
    X, y = np.asarray(rows, np.float64), np.asarray(targets, np.float64)
    if (
        X.ndim != 2
        or y.shape != (len(X),)
        or not len(X)
        or not (np.isfinite(X).all() and np.isfinite(y).all())
    ):
        raise Misuse(
            f"rows of shape {X.shape} and targets of shape {y.shape}, or what is not finite",
            source="transfer", field="rows", fix="Give a row of finite numbers for each target.",
        )  # fmt: skip
    return X, y


def _started(inputs: int, width: int, seed: int) -> tuple[Layer, ...]:
    """He's initialisation, biases nought."""
    chance = np.random.default_rng(seed)
    shapes = ((inputs, width), (width, width), (width, 1))
    return tuple((chance.normal(0, np.sqrt(2 / max(a, 1)), (a, b)), np.zeros(b)) for a, b in shapes)


def _passed(layers: tuple[Layer, ...], rows: Floats) -> list[Floats]:
    """What goes into every layer, and what comes out of the last."""
    found = [rows]
    for number, (weights, biases) in enumerate(layers):
        out = found[-1] @ weights + biases
        found.append(np.maximum(out, 0.0) if number + 1 < len(layers) else out)
    return found


def gradients(layers: tuple[Layer, ...], rows: Floats, targets: Floats) -> list[Layer]:
    """Of half the mean squared error of (n,) targets at (n, d) standardised rows, by layer."""
    held = _passed(layers, rows)
    back = (held[-1] - targets[:, None]) / len(targets)
    found: list[Layer] = []
    for number in reversed(range(len(layers))):
        found.append((held[number].T @ back, back.sum(axis=0)))
        back = (back @ layers[number][0].T) * (held[number] > 0)
    return found[::-1]


def _descended(
    layers: tuple[Layer, ...], rows: Floats, targets: Floats, kept: int, rounds: int
) -> tuple[Layer, ...]:
    """Adam over full batches; the first `kept` layers stay as they are."""
    values = [list(layer) for layer in layers]
    firsts = [[np.zeros_like(each) for each in layer] for layer in values]
    seconds = [[np.zeros_like(each) for each in layer] for layer in values]
    for turn in range(1, rounds + 1):
        found = gradients(tuple((w, b) for w, b in values), rows, targets)
        for number in range(kept, len(values)):
            for part in range(2):
                slope = found[number][part] + (_DECAY * values[number][part] if part == 0 else 0.0)
                first, second = firsts[number][part], seconds[number][part]
                first *= _FADE
                first += (1 - _FADE) * slope
                second *= _FADE_SQUARES
                second += (1 - _FADE_SQUARES) * slope**2
                step = first / (1 - _FADE**turn) / (np.sqrt(second / (1 - _FADE_SQUARES**turn)) + _TINY)
                values[number][part] = values[number][part] - _RATE * step
    return tuple((w, b) for w, b in values)
