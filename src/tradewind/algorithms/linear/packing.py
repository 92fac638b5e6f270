"""A pack: many linear models that learn from one reading of the data.

SageMaker elastic algorithms (Liberty et al., SIGMOD 2020), section 4: an expressive state. The weights of M
models lie side by side, (features, models), so that a feature is read once for all of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.algorithms.linear.losses import LOSSES, MULTICLASS, code_of
from tradewind.errors import Misuse


class Candidate(Struct, frozen=True):
    """One model of a pack."""

    loss: str
    parameter: float
    """Of the loss: the margin, insensitivity, quantile or delta; 0 where it has none."""
    rate: float
    """The learning rate."""
    l1: float = 0.0
    l2: float = 0.0
    positive_weight: float | str = 1.0
    """How many times a row of the positive class counts, or `balanced`."""


def close_rates(rate: float) -> tuple[float, ...]:
    """The rates that an automatic pack tries around the given one, the given one first."""
    return (rate, 0.1 * rate, 10 * rate)


def close_decays(l2: float) -> tuple[float, ...]:
    """The weight decays that an automatic pack tries beside the given one."""
    return tuple(dict.fromkeys((l2, 0.0, 1e-5, 1e-3, 1e-1)))


def candidates(
    losses: Sequence[str],
    parameters: dict[str, float],
    rates: Sequence[float],
    l1s: Sequence[float],
    l2s: Sequence[float],
    positive_weights: Sequence[float | str],
    num_models: int | str | None,
) -> tuple[Candidate, ...]:
    """The models of a pack, the one at the given parameters first.

    Where several values are given for a setting the pack is their grid. `num_models="auto"` and a number
    larger than the grid widen rates and weight decays by close values. Misuse if even that is too small.
    """
    wide = num_models == "auto" or (
        isinstance(num_models, int)
        and num_models > len(losses) * len(rates) * len(l1s) * len(l2s) * len(positive_weights)
    )
    if wide and len(rates) == 1:
        rates = close_rates(rates[0])
    if wide and len(l2s) == 1:
        l2s = close_decays(l2s[0])
    grid = [
        Candidate(loss, parameters.get(loss, 0.0), rate, l1, l2, weight)
        for weight, loss, l1, l2, rate in itertools.product(positive_weights, losses, l1s, l2s, rates)
    ]
    if not isinstance(num_models, int):
        return tuple(grid)
    if len(grid) < num_models:
        raise Misuse(
            f"the settings make {len(grid)} different models, not {num_models}",
            field="num_models",
            fix="Give several rates, l1, l2 or losses, or a smaller number.",
        )
    if len(grid) > num_models and not wide:
        raise Misuse(
            f"the settings make {len(grid)} models, not {num_models}",
            field="num_models",
            fix=f"Give {len(grid)}, or 'auto'.",
        )
    return tuple(grid[:num_models])


class Pack:
    """The settings of a pack as arrays, one element a model."""

    def __init__(self, models: Sequence[Candidate], outputs: int, balanced: float) -> None:
        """A model has `outputs` scores, the classes where there is one a class; `balanced` is that weight."""
        self.models = tuple(models)
        self.outputs, self.balanced = outputs, balanced
        self.codes: NDArray[np.int64] = np.array([code_of(each.loss) for each in models], np.int64)
        several = [each.loss in MULTICLASS for each in models]
        if any(several) and not all(several):
            loss = models[several.index(True)].loss
            raise Misuse(
                f"{loss} cannot share a pack with losses of one score",
                field="loss",
                fix=f"Give {loss} alone, or some of {', '.join(sorted(set(LOSSES) - set(MULTICLASS)))}.",
            )
        self.multiclass = any(several)
        """Whether a model has one score a class."""
        self.parameters = np.array([each.parameter for each in models], np.float32)
        self.rates = np.array([each.rate for each in models], np.float32)
        self.l1 = np.array([each.l1 for each in models], np.float32)
        self.l2 = np.array([each.l2 for each in models], np.float32)
        self.positive = np.array(
            [balanced if each.positive_weight == "balanced" else each.positive_weight for each in models],
            np.float32,
        )

    def __len__(self) -> int:
        return len(self.models)

    @property
    def columns(self) -> int:
        """Scores in all: model m has those from `m * outputs` on."""
        return len(self.models) * self.outputs

    def per_column(self, values: NDArray[Any]) -> NDArray[Any]:
        """One value a model as one a column."""
        return np.repeat(values, self.outputs)
