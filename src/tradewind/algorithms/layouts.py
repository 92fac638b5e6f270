"""The shapes of each kind of model's arrays, checked before a model is made of a file's.

A file may come from anywhere. Where its arrays do not have the shapes that its kind has and its header names
it is refused here, and not by whatever would go wrong first: nothing looks at bounds in the kernels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from tradewind.errors import Misuse

_LINEAR = ("weights: =features", "bias: 1", "classes? 2")
_WIDE = ("weights: =features outputs", "bias: outputs", "classes? outputs")
_ROWS = ("rows: rows width", "labels: rows", "classes: classes")

LAYOUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "LinearModel": (_LINEAR, _WIDE),
    "FactorizationModel": ((*_LINEAR, "factors: =features =factors"),),
    "RatingModel": (
        ("user_ids# users", "item_ids# items", "users: users width", "items: items width"),
    ),
    "ForestModel": (
        (
            "feature# trees nodes", "threshold: trees nodes", "left# trees nodes", "right# trees nodes",
            "values: trees nodes outputs", "classes? outputs",
        ),
    ),
    "NeighborsModel": (
        (*_ROWS, "signs? =features width"), (*_ROWS, "signs: =features", "chosen# width"),
    ),
    "KMeansModel": (("centres: =k =features", "weights: =k"),),
    "PCAModel": (
        (
            "components: =num_components =features", "mean: =features", "variances: =num_components",
            "scale: =num_components",
        ),
    ),
    "TopicModel": (("topic_words: =topics =features", "alpha: =topics"),),
    "NeuralTopics": (
        (
            "topics: =topics =features", "background: =features", "mean_weight: width =topics",
            "mean_bias: =topics", "spread_weight: width =topics", "spread_bias: =topics",
        ),
    ),
    "ScalerModel": (("shift: =features", "scale: =features", "offset: =features"),),
    "FillModel": (("fill: =features",),),
    "HashingModel": (("columns# columns",),),
}  # fmt: skip
"""The shapes by kind, in one of several ways: the name of an array, and its dimensions.

After the name a colon stands for floats, `#` for whole numbers, and `?` for floats that may be absent. A
dimension is a number, or a word that is the same number throughout; `=word` is what the header has under it.
Kinds that are not here have arrays that depend on their settings, and look at them themselves.
"""


def check_layout(arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any], source: str) -> None:
    """Raise Misuse where the arrays are not those of the header's kind."""
    problems = []
    for layout in LAYOUTS.get(str(header.get("kind", "")), ()):
        found = _problem(layout, arrays, header)
        if found is None:
            return
        problems.append(found)
    if problems:
        # of several ways the one that fits furthest
        _, field, problem = max(problems, key=lambda each: each[0])
        raise Misuse(problem, source=source, field=field, fix="Restore both files from the same save.")


def _problem(
    layout: tuple[str, ...], arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]
) -> tuple[tuple[int, int], str, str] | None:
    """How far the arrays fit, the first field that does not and what is wrong with it; None if all do."""
    known: dict[str, int] = {}
    for number, line in enumerate(layout):
        first, *dimensions = line.split()
        name, mark = first[:-1], first[-1]
        array = arrays.get(name)
        if array is None:
            if mark == "?":
                continue
            return (number, 0), name, "the array is missing"
        if array.dtype.kind not in ("iu" if mark == "#" else "f"):
            return (number, 1), name, f"an array of {array.dtype} is none of {_NAMES[mark]}"
        if array.ndim != len(dimensions):
            return (number, 2), name, f"the array has {array.ndim} dimensions, not {len(dimensions)}"
        for size, each in zip(array.shape, dimensions, strict=True):
            wanted = int(each) if each.isdecimal() else known.setdefault(each, size)
            if each.startswith("="):
                told = header.get(each[1:])
                if type(told) is not int:
                    return (number, 3), each[1:], f"{told!r} in the header is no size"
                wanted = told
            if size != wanted:
                return (number, 4), name, f"the array is {array.shape}, where {each.lstrip('=')} is {wanted}"
    return None


_NAMES = {":": "floats", "?": "floats", "#": "whole numbers"}
