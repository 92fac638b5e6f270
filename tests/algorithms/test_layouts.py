"""Arrays that are not of the shapes that their kind and header say are refused before a model is made."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tradewind.algorithms.catalogue import MODELS, model_from
from tradewind.algorithms.factorization.model import FactorizationModel
from tradewind.algorithms.layouts import LAYOUTS, check_layout
from tradewind.algorithms.linear.model import LinearModel
from tradewind.errors import Misuse

CHANCE = np.random.default_rng(0)


def two_classes():
    return LinearModel(CHANCE.normal(size=4), np.float64(0.5), loss="logistic", classes=np.array([0.0, 1.0]))


def more_classes():
    return LinearModel(
        CHANCE.normal(size=(4, 3)), CHANCE.normal(size=3), loss="softmax", classes=np.arange(3.0)
    )


def pairs():
    factors = CHANCE.normal(size=(4, 2)).astype(np.float32)
    return FactorizationModel(CHANCE.normal(size=4), 0.5, factors=factors, loss="squared")


MADE = pytest.mark.parametrize("make", [two_classes, more_classes, pairs])


def test_kinds_are_those_of_the_catalogue_and_the_rest_look_themselves():
    assert set(MODELS) - set(LAYOUTS) == {"DeepARModel", "TorchModel", "PartialFitModel"}
    assert set(LAYOUTS) <= set(MODELS)


@MADE
def test_whole_models_pass(make):
    check_layout(make().arrays(), make().header(), "here")
    model_from(make().arrays(), make().header())


@MADE
def test_every_array_of_another_shape_or_type_is_refused(make):
    """A shorter array, one dimension more or less, one of another type, or none at all."""
    model = make()
    for name, array in model.arrays().items():
        changed = {
            "short": array[:-1], "long": np.concatenate([array, array]), "deep": array[None],
            "scalar": np.zeros((), array.dtype), "whole numbers": array.astype(np.int64),
            "empty": array[:0], "missing": None,
        }  # fmt: skip
        for how, other in changed.items():
            if how == "missing" and name == "classes":
                continue
            arrays = {**model.arrays(), name: other}
            if other is None:
                del arrays[name]
            with pytest.raises(Misuse) as refused:
                model_from(arrays, model.header(), "a file")
            assert refused.value.source == "a file" and refused.value.field in arrays | {name: 0}, how


@MADE
@pytest.mark.parametrize("size", [None, "4", -1, 0, 3, 10**9, 10**18, 4.0, True, [4]])
def test_sizes_in_a_header_are_those_of_the_arrays(make, size):
    model = make()
    with pytest.raises(Misuse, match=r"header is no size|where features is"):
        model_from(model.arrays(), {**model.header(), "features": size})


@MADE
def test_a_header_that_lacks_something_or_holds_another_thing_is_one_clear_error(make):
    model = make()
    for name in model.header():
        for value in (..., None, "os:system", -1, {}, [[1]]):
            header = {**model.header(), name: value}
            if value is ...:
                del header[name]
            try:
                made = model_from(model.arrays(), header)
            except Misuse:
                continue
            answer = made.evaluate(csr_matrix((1, 4)))
            assert len(answer) == 1, "what opens can be used"


def test_a_kind_names_no_code():
    for kind in ("os:system", "tradewind.algorithms.linear.model:LinearModel", "", None, ["LinearModel"]):
        with pytest.raises(Misuse, match="is no kind of model"):
            model_from(two_classes().arrays(), {**two_classes().header(), "kind": kind})


def test_an_index_array_holds_whole_numbers():
    with pytest.raises(Misuse, match="none of whole numbers"):
        check_layout({"columns": np.zeros(2)}, {"kind": "HashingModel"}, "here")
    check_layout({"columns": np.zeros(2, np.int64)}, {"kind": "HashingModel"}, "here")


def test_of_two_layouts_the_nearer_one_is_told():
    arrays = {"rows": np.ones((5, 2)), "labels": np.ones(5), "classes": np.ones(5), "signs": np.ones((3, 2))}
    header = {"kind": "NeighborsModel", "features": 3}
    check_layout(arrays, header, "here")
    with pytest.raises(Misuse, match=r"chosen: an array of float64 is none of whole numbers"):
        check_layout({**arrays, "signs": np.ones(3), "chosen": np.ones(2)}, header, "here")


@pytest.mark.parametrize(
    "changes",
    [
        {"class_names": ["one"]}, {"class_names": ["a", "b", "c", "d"]}, {"class_names": "ab"},
        {"loss": "exec"}, {"threshold": "high"}, {"threshold": 2.0}, {"threshold": True},
        {"label_scale": None},
    ],
)  # fmt: skip
def test_a_header_that_would_fail_only_in_use_is_refused_at_once(changes):
    for make in (two_classes, more_classes):
        with pytest.raises(Misuse):
            model_from(make().arrays(), {**make().header(), **changes})
