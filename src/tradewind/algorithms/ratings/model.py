"""What was learned of users and items, and what it says of one by the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.graph import Graph, Node, Port, constant
from tradewind.algorithms.ratings.pairs import Ids, Layout
from tradewind.errors import Misuse, suggestion

KIND = "RatingModel"

METRICS = ("rmse", "mae")
"""Square root of the mean squared error; mean absolute error."""

_INT64 = 7
"""ONNX's number for that type."""


class RatingModel:
    """`mean + b_u + b_i + p_u . q_i`, with zeros for a user or an item that is not known.

    `users` and `items` hold (bias, factors), float32 (n, 1 + k), in the rising order of `user_ids` and
    `item_ids`. Where `clip` is set, answers lie between `low` and `high`.
    """

    metric = "rmse"

    def __init__(
        self,
        *,
        user_ids: Ids,
        item_ids: Ids,
        users: NDArray[np.float32],
        items: NDArray[np.float32],
        mean: float,
        bounds: tuple[float, float],
        clip: bool,
        layout: Layout,
        features: int,
        l2: float,
    ) -> None:
        self.user_ids, self.item_ids, self.users, self.items = user_ids, item_ids, users, items
        self.mean, self.bounds, self.clip = mean, bounds, clip
        self.layout, self.features, self.l2 = layout, features, l2

    def evaluate(self, batch: Batch | ArrayLike) -> NDArray[np.float64]:
        """The expected rating of each row, (n,); of a new user or item by what is known: O(k) a row."""
        users, items = self._pairs(batch if isinstance(batch, Batch) else batch_of(batch), "evaluate")
        u, known = _found(self.user_ids, users)
        i, rated = _found(self.item_ids, items)
        both = np.flatnonzero(known & rated)
        answers = np.full(len(users), self.mean)
        answers[known] += self.users[u[known], 0]
        answers[rated] += self.items[i[rated], 0]
        for start in range(0, len(both), 1 << 16):  # so that rows of factors are not all held at once
            some = both[start : start + (1 << 16)]
            mine, theirs = self.users[u[some], 1:], self.items[i[some], 1:]
            answers[some] += np.einsum("nk,nk->n", mine, theirs, dtype=np.float64)
        return np.clip(answers, *self.bounds) if self.clip else answers

    def score(self, batch: Batch, metric: str = "") -> float:
        """`rmse` or `mae` of the answers, weighted by row."""
        if metric not in ("", *METRICS):
            raise Misuse(f"{metric!r} is no metric here", field="metric", fix=suggestion(metric, METRICS))
        off = self.evaluate(batch) - np.asarray(batch.labels, np.float64)
        weights = None if batch.weights is None else batch.weights.astype(np.float64)
        if metric == "mae":
            return float(np.average(np.abs(off), weights=weights))
        return float(np.sqrt(np.average(off * off, weights=weights)))

    def fold_in(self, batch: Batch) -> RatingModel:
        """The model with the users of `batch` as its ratings show them; the items stay as they are.

        Each user's bias and factors are the least squares, with the penalty of learning, over what the user
        rated of the items that are known: O(r k^2 + k^3) for r ratings. A user who was known is learned anew
        from these ratings alone; one who rated no known item stays unknown.
        """
        users, items = self._pairs(batch, "fold_in")
        if batch.labels is None:
            raise Misuse("there are none", source="fold_in", field="label", fix="Give the users' ratings.")
        weights = np.ones(len(batch)) if batch.weights is None else batch.weights.astype(np.float64)
        place, rated = _found(self.item_ids, items)
        ratings = np.asarray(batch.labels, np.float64)
        check_range(ratings, self.bounds, "fold_in")
        learned: dict[int, NDArray[np.float32]] = {}
        order = np.argsort(users, kind="stable")
        kept = order[rated[order]]
        for rows in np.split(kept, np.flatnonzero(np.diff(users[kept])) + 1):
            if not len(rows):
                continue
            them = self.items[place[rows]].astype(np.float64)
            left = ratings[rows] - self.mean - them[:, 0]
            them[:, 0] = 1.0  # the user's bias
            scaled = them * weights[rows, None]
            penalty = max(self.l2 * weights[rows].sum(), 1e-9) * np.eye(them.shape[1])
            learned[int(users[rows[0]])] = np.linalg.solve(scaled.T @ them + penalty, scaled.T @ left).astype(
                np.float32
            )
        ids = np.union1d(self.user_ids, np.array(list(learned), np.int64))
        table = np.zeros((len(ids), self.users.shape[1]), np.float32)
        table[np.searchsorted(ids, self.user_ids)] = self.users
        for user, row in learned.items():
            table[np.searchsorted(ids, user)] = row
        return RatingModel(
            user_ids=ids, item_ids=self.item_ids, users=table, items=self.items, mean=self.mean,
            bounds=self.bounds, clip=self.clip, layout=self.layout, features=self.features, l2=self.l2,
        )  # fmt: skip

    def recommend(
        self, user: int, count: int = 10, without: Sequence[int] = ()
    ) -> tuple[Ids, NDArray[np.float64]]:
        """The items with the highest expected ratings for a user, best first, and those ratings: O(items k).

        Items named in `without`, such as those the user knows, are left out. A new user gets what is best
        liked on average.
        """
        at, known = _found(self.user_ids, np.array([user], np.int64))
        mine = self.users[at[0]].astype(np.float64) if known[0] else np.zeros(self.users.shape[1])
        answers = self.mean + mine[0] + self.items[:, 0] + self.items[:, 1:] @ mine[1:]
        left = np.flatnonzero(~np.isin(self.item_ids, np.asarray(without, np.int64)))
        best = left[np.argsort(-answers[left], kind="stable")[:count]]
        found = answers[best].astype(np.float64)
        return self.item_ids[best], np.clip(found, *self.bounds) if self.clip else found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`user_ids` (u,), `item_ids` (i,), rising; `users` (u, 1 + k) and `items` (i, 1 + k): a bias, then
        factors."""
        return {
            "user_ids": self.user_ids,
            "item_ids": self.item_ids,
            "users": self.users,
            "items": self.items,
        }

    def header(self) -> dict[str, Any]:
        """How to use the arrays."""
        return {
            "kind": KIND, "version": 1, "features": self.features, "mean": self.mean,
            "low": self.bounds[0], "high": self.bounds[1], "clip": self.clip, "l2": self.l2,
            "layout": self.layout.kind, "columns": list(self.layout.columns), "users": self.layout.users,
            "formula": "mean + users[u, 0] + items[i, 0] + users[u, 1:] . items[i, 1:]; zeros for an unknown "
            "u or i; clipped to low and high if clip",
        }  # fmt: skip

    def graph(self) -> Graph:
        """Both rows are looked up, unknown ones as zeros, and multiplied with a place for each bias.

        Numbers of users and items from 2**24 on do not fit float32: the input is then int64. Misuse for a
        model that knows no user or no item.
        """
        if not len(self.user_ids) or not len(self.item_ids):
            raise Misuse("the model knows no users or no items", source=KIND, fix="Learn from ratings first.")
        ones, none = np.ones((len(self.users), 1), np.float32), np.ones((len(self.items), 1), np.float32)
        # (bias, 1, factors) times (1, bias, factors)
        users = np.hstack([self.users[:, :1], ones, self.users[:, 1:]])
        items = np.hstack([none, self.items])
        tail = [
            Node("Mul", ("user", "item"), ("products",)),
            Node("ReduceSum", ("products", "axes"), ("sum",), {"keepdims": 0}),
            Node("Add", ("sum", "mean"), ("rating" if self.clip else "Y",)),
        ]
        numbers: dict[str, NDArray[Any]] = {
            "axes": constant([1], np.int64),
            **{
                name: np.array(value, np.float32)
                for name, value in zip(("mean", "low", "high"), (self.mean, *self.bounds), strict=True)
            },
        }
        if self.clip:
            tail.append(Node("Clip", ("rating", "low", "high"), ("Y",)))
        else:
            del numbers["low"], numbers["high"]
        ids = self.layout.kind == "ids"
        wide = ids and max(int(self.user_ids[-1]), int(self.item_ids[-1])) >= 2**24
        head = _lookup(self, users, items, numbers) if ids else _products(self, users, items, numbers)
        return Graph(
            nodes=(*head, *tail),
            inputs=(Port("X", ("rows", self.features), "int64" if wide else "float32"),),
            outputs=(Port("Y", ("rows",)),),
            constants=numbers,
        )

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> RatingModel:
        """The model that gave `arrays` and `header`."""
        first, second = header["columns"]
        return cls(
            **{name: arrays[name] for name in ("user_ids", "item_ids", "users", "items")},
            mean=float(header["mean"]),
            bounds=(float(header["low"]), float(header["high"])),
            clip=bool(header["clip"]),
            layout=Layout(str(header["layout"]), (int(first), int(second)), int(header["users"])),
            features=int(header["features"]),
            l2=float(header["l2"]),
        )

    def _pairs(self, batch: Batch, source: str) -> tuple[Ids, Ids]:
        if batch.features != self.features:
            raise Misuse(
                f"the rows have {batch.features} features, the model learned from {self.features}",
                source=source, field="features", fix="Give the same columns in the same order.",
            )  # fmt: skip
        return self.layout.pairs(batch, source)


def check_range(ratings: NDArray[Any], bounds: tuple[float, float], source: str) -> None:
    """Raise Misuse, naming the row of the batch, for a rating that is out of range or no number."""
    low, high = bounds
    bad = np.flatnonzero(~((ratings >= low) & (ratings <= high)))
    if len(bad):
        raise Misuse(
            f"{float(ratings[bad[0]]):g} is not between {low:g} and {high:g}", source=source,
            field=f"row {int(bad[0])}: rating", fix="Mend the row, or state low= and high= as they are.",
        )  # fmt: skip


def _found(known: Ids, ids: Ids) -> tuple[Ids, NDArray[np.bool_]]:
    """The place of each number among those known, and whether it is there."""
    if not len(known):
        return np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
    places = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return places, known[places] == ids


def _lookup(
    model: RatingModel, users: NDArray[Any], items: NDArray[Any], numbers: dict[str, NDArray[Any]]
) -> list[Node]:
    """Rows of the tables by the numbers in two columns."""
    nodes = []
    for name, column, ids, table, missing in (
        ("user", model.layout.columns[0], model.user_ids, users, 1),
        ("item", model.layout.columns[1], model.item_ids, items, 0),
    ):
        unknown = np.zeros((1, table.shape[1]), np.float32)
        unknown[0, missing] = 1.0  # what multiplies the other's bias
        numbers[f"{name}s"] = np.vstack([table, unknown])
        numbers[f"{name}_column"] = np.array(column, np.int64)
        nodes += [
            Node("Gather", ("X", f"{name}_column"), (f"{name}_number",), {"axis": 1}),
            Node("Cast", (f"{name}_number",), (f"{name}_id",), {"to": _INT64}),
            Node(
                "LabelEncoder", (f"{name}_id",), (f"{name}_row",),
                {"keys_int64s": ids.tolist(), "values_int64s": list(range(len(ids))),
                 "default_int64": len(ids)},
                "ai.onnx.ml",
            ),
            Node("Gather", (f"{name}s", f"{name}_row"), (name,)),
        ]  # fmt: skip
    return nodes


def _products(
    model: RatingModel, users: NDArray[Any], items: NDArray[Any], numbers: dict[str, NDArray[Any]]
) -> list[Node]:
    """Rows of the tables as products with rows of zeros and two ones."""
    cut, width = model.layout.users, users.shape[1]
    numbers["users"] = np.zeros((cut, width), np.float32)
    numbers["items"] = np.zeros((model.features - cut, width), np.float32)
    numbers["users"][:, 1], numbers["items"][:, 0] = 1.0, 1.0
    numbers["users"][model.user_ids], numbers["items"][model.item_ids] = users, items
    numbers["cut"] = constant([cut, model.features - cut], np.int64)
    return [
        Node("Split", ("X", "cut"), ("user_ones", "item_ones"), {"axis": 1}),
        Node("MatMul", ("user_ones", "users"), ("user",)),
        Node("MatMul", ("item_ones", "items"), ("item",)),
    ]
