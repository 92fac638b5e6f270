"""One server's part of a named table: rows, the optimiser's slots beside them, and their aggregation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numba import njit
from numpy.typing import ArrayLike, NDArray

from tradewind.algorithms.aggregation import aggregation_called, hyperparameters
from tradewind.errors import Misuse
from tradewind.state.partition import check_rows, partitions_of, range_bounds

Rows = NDArray[np.int64]

DTYPES = ("float32", "float64", "int64")
_LARGEST = 2**40
_EMPTY = np.int64(-1)


class Layout(Struct, frozen=True):
    """What a table is, the same on every server and client."""

    key: str
    shape: tuple[int, ...]
    """Of the whole table; () for one number."""
    dtype: str
    aggregate: str = "add"
    options: dict[str, float | tuple[float, ...]] = {}
    """The aggregation's hyperparameters."""
    sparse: bool = False
    """Whether a row takes memory only once it was pushed to."""

    @property
    def rows(self) -> int:
        """How many rows there are, along axis 0; one for a single number."""
        return self.shape[0] if self.shape else 1

    @property
    def width(self) -> int:
        """Values in a row."""
        return math.prod(self.shape[1:])


def checked_layout(layout: Layout) -> Layout:
    """`layout` itself; Misuse if no table can be made of it."""
    if layout.dtype not in DTYPES:
        raise Misuse(
            f"a table of {layout.dtype}", source=layout.key, field="value", fix=f"Use {', '.join(DTYPES)}."
        )
    if any(n < 0 for n in layout.shape) or math.prod(layout.shape[1:]) > 2**31 or layout.rows > 2**62:
        raise Misuse(
            f"a table of shape {layout.shape}", source=layout.key, field="value", fix="Make it smaller."
        )
    if not layout.sparse and math.prod(layout.shape) > _LARGEST:
        raise Misuse(
            f"a dense table of shape {layout.shape}", source=layout.key, field="value", fix="Make it sparse."
        )
    hyperparameters(layout.aggregate, layout.options, layout.width, np.dtype(layout.dtype))
    return layout


def layout_of(
    key: str, value: ArrayLike, aggregate: str = "add", **options: Any
) -> tuple[Layout, NDArray[Any]]:
    """The layout of a table that begins as `value`, and that value as rows (n, width).

    The option `sparse=n` makes a sparse table of n rows, each `value` until it is pushed to. Numbers that
    are no arrays become float64 or int64.
    """
    array = np.asarray(value)
    if array.dtype.kind in "bui" and array.dtype != np.int64:
        array = array.astype(np.int64)
    sparse = int(options.pop("sparse", 0))
    shape = (sparse, *array.shape) if sparse else array.shape
    plain = {
        name: tuple(float(each) for each in given) if np.ndim(given) else float(given)
        for name, given in options.items()
    }
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise Misuse("the first value is not finite", source=key, field="value", fix="Look for a NaN.")
    layout = checked_layout(Layout(key, shape, str(array.dtype), aggregate, plain, bool(sparse)))
    return layout, np.ascontiguousarray(array).reshape(-1 if layout.width else 0, layout.width)


def rows_of(layout: Layout, rows: ArrayLike) -> Rows:
    """The rows that a caller names, checked: a copy, since they may be sent later, and again."""
    given = np.asarray(rows)
    if given.ndim != 1 or (given.dtype.kind not in "iu" and given.size):
        raise Misuse(
            f"rows of {given.dtype} {given.shape}",
            source=layout.key,
            field="rows",
            fix="Give whole numbers, shape (n,).",
        )
    whole = np.array(given, np.int64)
    check_rows(whole, layout.rows, layout.key)
    return whole


def delta_of(layout: Layout, delta: ArrayLike, rows: Rows | None) -> NDArray[Any]:
    """A caller's delta as rows (n, width) of the table's dtype, checked: a copy, since it is sent later."""
    given = np.asarray(delta)
    shape = layout.shape if rows is None else (len(rows), *layout.shape[1:])
    if given.shape != shape:
        raise Misuse(
            f"a delta of shape {given.shape}, not {shape}",
            source=layout.key,
            field="delta",
            fix="Push what the table holds, for the rows named.",
        )
    if given.size and not np.can_cast(given.dtype, np.dtype(layout.dtype), "same_kind"):
        raise Misuse(
            f"{given.dtype} into a table of {layout.dtype}",
            source=layout.key,
            field="delta",
            fix="Convert it yourself if that is meant.",
        )
    count = layout.rows if rows is None else len(rows)
    return np.array(given, layout.dtype, order="C").reshape(count, layout.width)


@njit(cache=True, nogil=True)
def _slot_of(index: Any, row: Any) -> Any:
    mask = np.uint64(index.shape[0] - 1)
    x = np.uint64(row) * np.uint64(0x9E3779B97F4A7C15)
    place = (x ^ (x >> np.uint64(32))) & mask
    while index[place, 0] != row and index[place, 0] != -1:
        place = (place + np.uint64(1)) & mask
    return place


@njit(cache=True, nogil=True)
def _find(index: Any, rows: Any, out: Any) -> None:
    for i in range(rows.shape[0]):
        out[i] = index[_slot_of(index, rows[i]), 1]


def load_kernels() -> None:
    """Have numba load itself, by a first call of a kernel; to be called before threads use a state.

    That call imports some 200 of numba's modules, whichever kernel it is and compiled before or not; later
    ones import nothing. An import that the garbage collector interrupts with another one fails with KeyError
    (Python before 3.12, issue 87712), and the longer threads import at once, the likelier that is.
    """
    _find(np.full((2, 2), _EMPTY), np.empty(0, np.int64), np.empty(0, np.int64))


@njit(cache=True, nogil=True)
def _insert(index: Any, rows: Any, used: Any, order: Any, out: Any) -> Any:
    for i in range(rows.shape[0]):
        place = _slot_of(index, rows[i])
        if index[place, 0] == -1:
            index[place, 0] = rows[i]
            index[place, 1] = used
            order[used] = rows[i]
            used += 1
        out[i] = index[place, 1]
    return used


@njit(cache=True, nogil=True)
def _gather(values: Any, rows: Any, out: Any) -> None:
    for i in range(rows.shape[0]):
        for j in range(values.shape[1]):
            out[i, j] = values[rows[i], j]


@njit(cache=True, nogil=True)
def _gather_or(values: Any, slots: Any, default: Any, out: Any) -> None:
    for i in range(slots.shape[0]):
        for j in range(values.shape[1]):
            out[i, j] = values[slots[i], j] if slots[i] >= 0 else default[j]


@njit(cache=True, nogil=True, error_model="numpy")
def _accumulate(total: Any, inverse: Any, delta: Any) -> None:
    for i in range(inverse.shape[0]):
        for j in range(delta.shape[1]):
            total[inverse[i], j] += delta[i, j]


def reduced(
    pushes: Sequence[tuple[Rows | None, NDArray[Any]]], width: int
) -> tuple[Rows | None, NDArray[Any]]:
    """The sum of pushes to one table, each row's terms in the order given; rows of the result ascend."""
    if len(pushes) == 1:
        return pushes[0]
    whole = [delta for rows, delta in pushes if rows is None]
    if whole:
        total = np.zeros_like(whole[0])
        every = np.arange(len(total))
        for rows, delta in pushes:
            _accumulate(total, every if rows is None else rows, delta)
        return None, total
    rows = np.concatenate([rows for rows, _ in pushes if rows is not None])
    distinct, inverse = np.unique(rows, return_inverse=True)
    total = np.zeros((len(distinct), width), pushes[0][1].dtype)
    _accumulate(total, inverse.reshape(-1), np.concatenate([delta for _, delta in pushes]))
    return distinct, total


class Table:
    """The rows that one server owns of a table.

    Rows are named by their numbers in the whole table. A dense table's rows lie in one array, partition
    after partition; a sparse one's in the order in which they were first pushed to.
    """

    def __init__(self, layout: Layout, value: NDArray[Any], partitions: int, owned: Sequence[int]) -> None:
        """`value` holds the owned rows of a dense table, (rows, width), or a sparse one's default row."""
        self.layout = checked_layout(layout)
        self._partitions, self._owned = partitions, tuple(owned)
        self._mine = np.zeros(partitions, bool)
        self._mine[list(owned)] = True
        dtype = np.dtype(layout.dtype)
        self._aggregation = aggregation_called(layout.aggregate, dtype)
        self._options = hyperparameters(layout.aggregate, layout.options, layout.width, dtype)
        self._all = len(owned) == partitions
        self._used = 0
        if layout.sparse:
            self._default = np.ascontiguousarray(value, dtype).reshape(layout.width)
            self.values = np.empty((64, layout.width), dtype)
            self._order = np.empty(64, np.int64)
            self._index = np.full((256, 2), _EMPTY)
        else:
            bounds = range_bounds(layout.rows, partitions)
            sizes = np.where(self._mine, np.diff(bounds), 0)
            self._shift = np.cumsum(sizes) - sizes - bounds[:-1]
            self._bounds = bounds
            self.values = np.array(value, dtype, order="C").reshape(int(sizes.sum()), layout.width)
            self._every = np.arange(len(self.values))
        self.slots = {name: np.zeros_like(self.values) for name in self._aggregation.slots}
        self._changed: NDArray[np.bool_] | None = None
        """Which places were pushed to since the last `difference`; None while nobody asks for one."""

    def __len__(self) -> int:
        """How many rows lie here."""
        return self._used if self.layout.sparse else len(self.values)

    def check(self, rows: Rows | None, delta: NDArray[Any] | None = None) -> None:
        """Misuse unless all `rows` belong here and `delta` fits them."""
        layout = self.layout
        if rows is not None:
            if rows.dtype != np.int64 or rows.ndim != 1:
                raise Misuse("rows must be int64 (n,)", source=layout.key, field="rows", fix="Convert them.")
            check_rows(rows, layout.rows, layout.key)
            if not self._all:
                owners = partitions_of(rows, layout.rows, self._partitions, layout.sparse)
                if not self._mine[owners].all():
                    raise Misuse("another server's rows", source=layout.key, fix="Read the routing again.")
        elif layout.sparse:
            raise Misuse("a sparse table needs rows", source=layout.key, field="rows", fix="Name the rows.")
        if delta is not None:
            shape = (len(self.values) if rows is None else len(rows), layout.width)
            if delta.shape != shape or delta.dtype != self.values.dtype:
                raise Misuse(
                    f"a push of {delta.dtype} {delta.shape} to {self.values.dtype} {shape}",
                    source=layout.key,
                    field="delta",
                    fix="Push what the table holds, for the rows named.",
                )

    @property
    def additive(self) -> bool:
        """Whether pushes may be taken in one by one and mean the same."""
        return self._aggregation.additive

    def take_in(self, rows: Rows | None, delta: NDArray[Any]) -> None:
        """Give checked rows (n, width) to the aggregation."""
        if rows is None:
            places = self._every
        elif self.layout.sparse:
            places = self._materialise(rows)
        else:
            places = self._places(rows)
        if self._changed is not None:
            self._changed[places] = True
        slots = [self.slots[name] for name in self._aggregation.slots]
        self._aggregation.kernel(self.values, places, delta, *slots, *self._options)

    def take_in_together(self, pushes: Sequence[tuple[Rows | None, NDArray[Any]]]) -> None:
        """Take in all pushes of a clock, in this order: as one step, unless the aggregation is additive."""
        if self.additive:
            for rows, delta in pushes:
                self.take_in(rows, delta)
        elif pushes:
            self.take_in(*reduced(pushes, self.layout.width))

    def read(self, rows: Rows | None) -> NDArray[Any]:
        """A copy of checked rows, (n, width); all that lie here, if None."""
        if rows is None:
            return self.values.copy()
        out = np.empty((len(rows), self.layout.width), self.values.dtype)
        if self.layout.sparse:
            slots = np.empty(len(rows), np.int64)
            _find(self._index, rows, slots)
            _gather_or(self.values, slots, self._default, out)
        else:
            _gather(self.values, self._places(rows), out)
        return out

    def present(self) -> Rows:
        """The rows that were pushed to, of a sparse table; all that lie here, of a dense one. Ascending."""
        if self.layout.sparse:
            return np.sort(self._order[: self._used])
        runs = [np.arange(self._bounds[p], self._bounds[p + 1]) for p in self._owned]
        return np.concatenate(runs) if runs else np.empty(0, np.int64)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Copies of all that lies here, by name; `load` takes them back."""
        if not self.layout.sparse:
            return {
                "values": self.values.copy(),
                **{f"slot.{name}": array.copy() for name, array in self.slots.items()},
            }
        rows = self.present()
        places = np.empty(len(rows), np.int64)
        _find(self._index, rows, places)
        return {
            "rows": rows,
            "default": self._default.copy(),
            "values": self.values[places],
            **{f"slot.{name}": array[places] for name, array in self.slots.items()},
        }

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `arrays` gave, of this server's rows."""
        if self.layout.sparse:
            places = self._materialise(np.asarray(arrays["rows"], np.int64))
            self.values[places] = arrays["values"]
            for name, array in self.slots.items():
                array[places] = arrays[f"slot.{name}"]
        else:
            self.values[:] = arrays["values"]
            for name, array in self.slots.items():
                array[:] = arrays[f"slot.{name}"]

    @property
    def watched(self) -> bool:
        """Whether `difference` can be asked for."""
        return self._changed is not None

    def watch(self) -> None:
        """From now on note what changes; `difference` begins from here."""
        self._changed = np.zeros(len(self.values), np.bool_)

    def unwatch(self) -> None:
        """Note no changes any more."""
        self._changed = None

    def difference(self) -> dict[str, NDArray[Any]]:
        """What was pushed to since the last call, as it is now: `places` (of a sparse table `rows`), `values`
        and the slots; empty if nothing was. `take_over` on a like table makes it the same, bit for bit."""
        assert self._changed is not None
        places = np.flatnonzero(self._changed[: len(self)])
        if not len(places):
            return {}
        self._changed[:] = False
        whole = len(places) == len(self) and not self.layout.sparse
        named: dict[str, NDArray[Any]] = {}
        if self.layout.sparse:
            named["rows"] = self._order[places]
        elif not whole:
            named["places"] = places
        named["values"] = self.values.copy() if whole else self.values[places]
        for name, array in self.slots.items():
            named[f"slot.{name}"] = array.copy() if whole else array[places]
        return named

    def take_over(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Make the rows of a `difference` what they are there."""
        places: Any = slice(None)
        if self.layout.sparse:
            places = self._materialise(np.asarray(arrays["rows"], np.int64))
        elif "places" in arrays:
            places = arrays["places"]
        self.values[places] = arrays["values"]
        for name, array in self.slots.items():
            array[places] = arrays[f"slot.{name}"]

    def _places(self, rows: Rows) -> Rows:
        if self._all:
            return rows
        return rows + self._shift[partitions_of(rows, self.layout.rows, self._partitions, False)]

    def _materialise(self, rows: Rows) -> Rows:
        if self._used + len(rows) > len(self.values):
            self._grow(self._used + len(rows))
        before = self._used
        places = np.empty(len(rows), np.int64)
        self._used = int(_insert(self._index, rows, self._used, self._order, places))
        self.values[before : self._used] = self._default
        return places

    def _grow(self, needed: int) -> None:
        size = max(needed, 2 * len(self.values))
        self._order = np.resize(self._order, size)
        grown = np.empty((size, self.layout.width), self.values.dtype)
        grown[: self._used] = self.values[: self._used]
        self.values = grown
        for name, array in self.slots.items():
            wider = np.zeros_like(grown)
            wider[: self._used] = array[: self._used]
            self.slots[name] = wider
        if self._changed is not None:
            longer = np.zeros(size, np.bool_)
            longer[: self._used] = self._changed[: self._used]
            self._changed = longer
        # at most half full, so that a search ends soon
        self._index = np.full((1 << (2 * size).bit_length(), 2), _EMPTY)
        rows = self._order[: self._used].copy()
        _insert(self._index, rows, 0, self._order, np.empty(len(rows), np.int64))
