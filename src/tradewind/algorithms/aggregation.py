"""What a server does with a push: aggregations as in-place kernels over rows.

`add`, `max`, `put`, `fade` and `sgd` need nothing beside the table; the others keep slots of its shape beside
it. `put` is for rows that one worker alone writes: the last push stands. `fade` adds to what has decayed:
the last column of a push says how much time has passed, and what the row held halves in each `half_life`.

- `adagrad`: Duchi, Hazan and Singer, JMLR 2011, section 1.3, the diagonal form.
- `adam`: Kingma and Ba, ICLR 2015, algorithm 1, with a step count per row, so that a row that few batches
  touch is corrected by its own number of steps.
- `rmsprop`: Tieleman and Hinton, Coursera lecture 6.5 (2012).
- `adadelta`: Zeiler, arXiv:1212.5701, algorithm 1.
- `ftrl`: McMahan et al., KDD 2013, algorithm 1, per-coordinate FTRL-proximal.

Every kernel works on a table seen as rows, `values` (n, width), and goes through the pushed rows in order,
one after the other, so that the result is the same on every machine. A hyperparameter is one number or one
a column, which is how a pack of models learns at different rates in one table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numba import njit
from numpy.typing import NDArray

from tradewind.errors import Misuse, suggestion

Options = Mapping[str, float | Sequence[float]]


@njit(cache=True, nogil=True, error_model="numpy")
def _add(values: Any, rows: Any, delta: Any) -> None:
    for i in range(rows.shape[0]):
        row = rows[i]
        for j in range(values.shape[1]):
            values[row, j] += delta[i, j]


@njit(cache=True, nogil=True, error_model="numpy")
def _max(values: Any, rows: Any, delta: Any) -> None:
    for i in range(rows.shape[0]):
        row = rows[i]
        for j in range(values.shape[1]):
            # a NaN on either side stays visible, as in numpy.maximum
            if not (values[row, j] >= delta[i, j]):
                values[row, j] = delta[i, j] if values[row, j] == values[row, j] else values[row, j]


@njit(cache=True, nogil=True, error_model="numpy")
def _put(values: Any, rows: Any, delta: Any) -> None:
    for i in range(rows.shape[0]):
        row = rows[i]
        for j in range(values.shape[1]):
            values[row, j] = delta[i, j]


@njit(cache=True, nogil=True, error_model="numpy")
def _fade(values: Any, rows: Any, delta: Any, half_life: Any) -> None:
    last = values.shape[1] - 1
    for i in range(rows.shape[0]):
        row = rows[i]
        kept = 2.0 ** (-delta[i, last] / half_life[last])
        for j in range(last):
            values[row, j] = values[row, j] * kept + delta[i, j]
        values[row, last] += delta[i, last]


@njit(cache=True, nogil=True, error_model="numpy")
def _sgd(values: Any, rows: Any, delta: Any, rate: Any) -> None:
    for i in range(rows.shape[0]):
        row = rows[i]
        for j in range(values.shape[1]):
            values[row, j] -= rate[j] * delta[i, j]


@njit(cache=True, nogil=True, error_model="numpy")
def _adagrad(values: Any, rows: Any, delta: Any, square: Any, rate: Any, epsilon: Any) -> None:
    for i in range(rows.shape[0]):
        row = rows[i]
        for j in range(values.shape[1]):
            gradient = delta[i, j]
            if gradient != 0:
                square[row, j] += gradient * gradient
                values[row, j] -= rate[j] * gradient / (np.sqrt(square[row, j]) + epsilon[j])


@njit(cache=True, nogil=True, error_model="numpy")
def _adam(
    values: Any, rows: Any, delta: Any, first: Any, second: Any, steps: Any,
    rate: Any, beta1: Any, beta2: Any, epsilon: Any,
) -> None:  # fmt: skip
    one = values.dtype.type(1)
    at, column = (
        -one,
        -1,
    )  # whose corrections are at hand: neighbours mostly have the same, and powers are slow
    short, long = one, one
    for i in range(rows.shape[0]):
        row = rows[i]
        for j in range(values.shape[1]):
            gradient = delta[i, j]
            steps[row, j] += one
            if steps[row, j] != at or (
                column != j and (beta1[j] != beta1[column] or beta2[j] != beta2[column])
            ):
                at, column = steps[row, j], j
                short, long = one - beta1[j] ** at, one - beta2[j] ** at
            first[row, j] = beta1[j] * first[row, j] + (one - beta1[j]) * gradient
            second[row, j] = beta2[j] * second[row, j] + (one - beta2[j]) * gradient * gradient
            mean = first[row, j] / short
            spread = second[row, j] / long
            values[row, j] -= rate[j] * mean / (np.sqrt(spread) + epsilon[j])


@njit(cache=True, nogil=True, error_model="numpy")
def _rmsprop(
    values: Any, rows: Any, delta: Any, square: Any, rate: Any, decay: Any, epsilon: Any
) -> None:  # fmt: skip
    one = values.dtype.type(1)
    for i in range(rows.shape[0]):
        row = rows[i]
        for j in range(values.shape[1]):
            gradient = delta[i, j]
            square[row, j] = decay[j] * square[row, j] + (one - decay[j]) * gradient * gradient
            values[row, j] -= rate[j] * gradient / (np.sqrt(square[row, j]) + epsilon[j])


@njit(cache=True, nogil=True, error_model="numpy")
def _adadelta(
    values: Any, rows: Any, delta: Any, square: Any, moved: Any, rate: Any, decay: Any, epsilon: Any
) -> None:  # fmt: skip
    one = values.dtype.type(1)
    for i in range(rows.shape[0]):
        row = rows[i]
        for j in range(values.shape[1]):
            gradient = delta[i, j]
            square[row, j] = decay[j] * square[row, j] + (one - decay[j]) * gradient * gradient
            step = gradient * np.sqrt(moved[row, j] + epsilon[j]) / np.sqrt(square[row, j] + epsilon[j])
            moved[row, j] = decay[j] * moved[row, j] + (one - decay[j]) * step * step
            values[row, j] -= rate[j] * step


@njit(cache=True, nogil=True, error_model="numpy")
def _ftrl(
    values: Any, rows: Any, delta: Any, z: Any, square: Any, rate: Any, beta: Any, l1: Any, l2: Any
) -> None:
    zero = values.dtype.type(0)
    for i in range(rows.shape[0]):
        row = rows[i]
        for j in range(values.shape[1]):
            gradient = delta[i, j]
            if gradient == 0:
                continue
            before = np.sqrt(square[row, j])
            square[row, j] += gradient * gradient
            after = np.sqrt(square[row, j])
            z[row, j] += gradient - (after - before) / rate[j] * values[row, j]
            if abs(z[row, j]) <= l1[j]:
                values[row, j] = zero
            else:
                shrunk = z[row, j] - l1[j] if z[row, j] > zero else z[row, j] + l1[j]
                values[row, j] = -shrunk / ((beta[j] + after) / rate[j] + l2[j])


class Aggregation(Struct, frozen=True):
    """A kernel and what it needs."""

    kernel: Callable[..., None]
    """Called with (values, rows, delta, *slots, *options); works in place."""
    slots: tuple[str, ...] = ()
    """Arrays of the table's shape and dtype that the kernel keeps beside it, all zero at first."""
    options: tuple[tuple[str, float], ...] = ()
    """Names of the hyperparameters and their usual values."""
    additive: bool = False
    """Whether pushes may be taken in one by one; otherwise those of a clock are summed and taken in once."""
    floating: bool = True
    """Whether the table must be of floating point."""


AGGREGATIONS: dict[str, Aggregation] = {
    "add": Aggregation(_add, additive=True, floating=False),
    "max": Aggregation(_max, additive=True, floating=False),
    "put": Aggregation(_put, additive=True, floating=False),
    "fade": Aggregation(_fade, options=(("half_life", 1.0),)),
    "sgd": Aggregation(_sgd, options=(("rate", 0.1),)),
    "adagrad": Aggregation(_adagrad, slots=("square",), options=(("rate", 0.1), ("epsilon", 1e-8))),
    "adam": Aggregation(
        _adam,
        slots=("first", "second", "steps"),
        options=(("rate", 0.001), ("beta1", 0.9), ("beta2", 0.999), ("epsilon", 1e-8)),
    ),
    "rmsprop": Aggregation(
        _rmsprop, slots=("square",), options=(("rate", 0.01), ("decay", 0.99), ("epsilon", 1e-8))
    ),
    "adadelta": Aggregation(
        _adadelta, slots=("square", "moved"), options=(("rate", 1.0), ("decay", 0.9), ("epsilon", 1e-6))
    ),
    "ftrl": Aggregation(
        _ftrl, slots=("z", "square"), options=(("rate", 0.1), ("beta", 1.0), ("l1", 0.0), ("l2", 0.0))
    ),
}
"""The aggregations by name; `register_aggregation` adds to them."""


def register_aggregation(name: str, aggregation: Aggregation) -> None:
    """Make a user's aggregation known in this process; every server must do so. Misuse if `name` is taken."""
    if name in AGGREGATIONS and AGGREGATIONS[name] != aggregation:
        raise Misuse(f"an aggregation {name!r} exists", field="aggregate", fix="Choose another name.")
    AGGREGATIONS[name] = aggregation


def aggregation_called(name: str, dtype: np.dtype[Any]) -> Aggregation:
    """The aggregation of that name; Misuse if there is none or it cannot work on `dtype`."""
    if name not in AGGREGATIONS:
        raise Misuse(f"{name!r} is no aggregation", field="aggregate", fix=suggestion(name, AGGREGATIONS))
    found = AGGREGATIONS[name]
    if found.floating and dtype.kind != "f":
        raise Misuse(
            f"{name} cannot learn in a table of {dtype}", field="aggregate", fix="Use a float table."
        )
    return found


def hyperparameters(
    name: str, options: Options, width: int, dtype: np.dtype[Any]
) -> tuple[NDArray[Any], ...]:
    """The options of aggregation `name` in its kernel's order, each (width,); Misuse for others."""
    known = dict(aggregation_called(name, dtype).options)
    for option in options:
        if option not in known:
            fix = suggestion(option, known) if known else f"{name} takes no options."
            raise Misuse(f"{name} takes no {option!r}", field=option, fix=fix)
    arrays = []
    for option, usual in known.items():
        given = np.asarray(options.get(option, usual), np.float64)
        if given.ndim > 1 or (given.ndim == 1 and given.shape != (width,)) or not np.isfinite(given).all():
            raise Misuse(
                f"{options.get(option)!r} is no {option} for {width} columns",
                field=option,
                fix=f"Give one finite number, or {width}.",
            )
        if option == "rate" and not (given > 0).all():
            raise Misuse("a rate that is not positive learns nothing", field=option, fix="Give more than 0.")
        arrays.append(np.ascontiguousarray(np.broadcast_to(given, (width,)), dtype))
    return tuple(arrays)
