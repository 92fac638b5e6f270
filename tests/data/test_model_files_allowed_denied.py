"""What no list may allow."""

import pytest

from tradewind.data.model_files.allowed.denied import acts_by_name, denied


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"), ("os.path", "join"), ("builtins", "eval"), ("joblib", "load"), ("joblib.anything",
        "X"),
        ("torch.hub", "load"), ("numpy.testing._private.utils", "runstring"), ("any.tests", "A"), ("a",
        "B.c"),
        ("a", "\u0435val"), ("sklearn.datasets._base", "load_files"), ("concurrent.futures", "X"),
    ],
    ids=lambda part: part if part.isascii() else "not-ascii",
)  # fmt: skip
def test_denied(module, name):
    assert denied(module, name)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("sklearn.svm", "SVC"),
        ("joblib.numpy_pickle", "NumpyArrayWrapper"),
        ("oslo", "X"),
        ("torch.nn", "Linear"),
    ],
)
def test_not_denied(module, name):
    assert not denied(module, name)


def test_names_that_act():
    assert all(map(acts_by_name, ("load", "_open_file", "run", "save_model", "Execute", "__import")))
    assert not any(map(acts_by_name, ("relu", "_identity", "rebuild", "runner", "openness")))
