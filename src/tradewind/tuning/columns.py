"""A space's settings as columns of numbers, which a model can learn from."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tradewind.tuning.space import Choice, Float, Integer, Parameter, Space
from tradewind.tuning.trial import Value

Array = NDArray[np.float64]


class Columns:
    """One column from 0 to 1 for each number of a space, and one of 0 or 1 for each value of each choice.

    A whole number stands in the middle of its share, so that all points which mean the same setting are the
    same row. Where a parameter has no place, its number is 0.5 and all its values are 0.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        starts = np.cumsum([0, *(_width(each) for each in space.parameters)])
        self.starts: list[int] = starts[:-1].tolist()
        self.width = int(starts[-1])
        self.bent = np.zeros(self.width, np.bool_)
        """(width,) which columns are numbers, of which a model may bend the scale."""
        self.smooth: list[int] = []
        """Which parameters are reals, with more than one value."""
        self.stepped: list[int] = []
        """Which parameters are not, with more than one value."""
        for at, each in enumerate(space.parameters):
            if not isinstance(each.of, Choice):
                self.bent[self.starts[at]] = each.of.low < each.of.high
            if isinstance(each.of, Float):
                if each.of.low < each.of.high:
                    self.smooth.append(at)
            elif _many(each) > 1:
                self.stepped.append(at)
        self._named = {each.name: at for at, each in enumerate(space.parameters)}

    def rows(self, units: ArrayLike) -> Array:
        """The rows (m, width) of points (m, d) of the unit cube."""
        given = np.clip(np.atleast_2d(np.asarray(units, np.float64)), 0.0, 1.0)
        there = self.placed(given)
        found = np.zeros((len(given), self.width))
        for at, each in enumerate(self.space.parameters):
            start, has = self.starts[at], there[:, at]
            if isinstance(each.of, Choice):
                which = _indices(each.of, given[:, at])
                found[np.flatnonzero(has), start + which[has]] = 1.0
            else:
                found[:, start] = np.where(has, _settled(each, given[:, at]), 0.5)
        return found

    def row(self, setting: Mapping[str, Value]) -> Array:
        """The row (width,) of a setting of the space."""
        point = self.space.point(setting)
        found = np.zeros(self.width)
        for at, each in enumerate(self.space.parameters):
            start, has = self.starts[at], not math.isnan(point[at])
            if isinstance(each.of, Choice):
                if has:
                    found[start + int(_indices(each.of, point[at : at + 1])[0])] = 1.0
            else:
                found[start] = point[at] if has else 0.5
        return found

    def middle(self, setting: Mapping[str, Value]) -> Array:
        """A point (d,) of the unit cube that means the setting; 0.5 for what it leaves out."""
        return np.nan_to_num(self.space.point(setting), nan=0.5)

    def placed(self, units: Array) -> NDArray[np.bool_]:
        """(m, d) which parameters have a place at points (m, d)."""
        found = np.ones(units.shape, np.bool_)
        for at, each in enumerate(self.space.parameters):
            for name, values in each.when:
                other = self._named[name]
                kind = self.space.parameters[other].of
                if isinstance(kind, Choice):
                    meets = np.isin(_indices(kind, units[:, other]), [kind.index(value) for value in values])
                else:
                    meets = np.isin(_numbers(kind, units[:, other]), np.asarray(values, np.float64))
                found[:, at] &= found[:, other] & meets
        return found

    def values(self, at: int, most: int, near: float) -> Array:
        """Units that stand for other values of a stepped parameter: all, or `most` of them around one."""
        parameter = self.space.parameters[at]
        count = _many(parameter)
        if isinstance(parameter.of, Choice) or count <= most:
            if isinstance(parameter.of, Choice):
                return (np.arange(count) + 0.5) / count
            numbers = np.arange(parameter.of.low, parameter.of.high + 1)
        else:
            here = round(float(_numbers(parameter.of, np.array([near]))[0]))
            steps = np.unique(np.round(np.geomspace(1, max(count // 2, 1), most // 2)))
            numbers = np.concatenate([here - steps, here + steps])
            numbers = numbers[(numbers >= parameter.of.low) & (numbers <= parameter.of.high)]
        return _units(parameter.of, numbers.astype(np.float64))


def _width(parameter: Parameter) -> int:
    return len(parameter.of.values) if isinstance(parameter.of, Choice) else 1


def _many(parameter: Parameter) -> int:
    if isinstance(parameter.of, Choice):
        return len(parameter.of.values)
    return int(parameter.of.high - parameter.of.low) + 1


def _indices(kind: Choice, units: Array) -> NDArray[np.int64]:
    count = len(kind.values)
    return np.minimum((units * count).astype(np.int64), count - 1)


def _bounds(kind: Float | Integer) -> tuple[float, float]:
    half = 0.5 if isinstance(kind, Integer) else 0.0
    low, high = kind.low - half, kind.high + half
    return (math.log(low), math.log(high)) if kind.log else (low, high)


def _numbers(kind: Float | Integer, units: Array) -> Array:
    low, high = _bounds(kind)
    found = low + units * (high - low)
    if kind.log:
        found = np.exp(found)
    return np.clip(np.rint(found) if isinstance(kind, Integer) else found, kind.low, kind.high)


def _settled(parameter: Parameter, units: Array) -> Array:
    """The units of the values that units (m,) stand for."""
    kind = parameter.of
    assert not isinstance(kind, Choice)
    low, high = _bounds(kind)
    if not low < high or kind.low == kind.high:
        return np.full(units.shape, 0.5)
    if isinstance(kind, Float):
        return units
    return _units(kind, _numbers(kind, units))


def _units(kind: Float | Integer, numbers: Array) -> Array:
    low, high = _bounds(kind)
    return np.asarray(((np.log(numbers) if kind.log else numbers) - low) / (high - low))
