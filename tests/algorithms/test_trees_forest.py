"""How a row falls through a forest, by hand."""

import numpy as np
import pytest

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.trees.forest import LEAF, ForestModel
from tradewind.errors import Misuse


def stump(threshold=0.5, classes=None):
    """One split on column 1 and a tree that is all leaf."""
    return ForestModel(
        np.array([[1, LEAF, LEAF], [LEAF, LEAF, LEAF]]), np.array([[threshold, 0, 0], [0.0, 0, 0]]),
        np.array([[1, 0, 0], [0, 0, 0]]), np.array([[2, 0, 0], [0, 0, 0]]),
        np.array([[[0.0], [2.0], [4.0]], [[10.0], [0.0], [0.0]]]), features=2, classes=classes,
    )  # fmt: skip


def test_a_row_goes_left_up_to_the_threshold_and_the_trees_are_averaged():
    rows = np.array([[9.0, 0.5], [9.0, 0.5001], [0.0, -1.0]])
    assert stump().evaluate(rows).tolist() == [6.0, 7.0, 6.0]


def test_values_are_compared_as_float32():
    barely = np.nextafter(0.5, 1.0)  # not above one half in single precision
    assert stump().evaluate(np.array([[0.0, barely]])).tolist() == [6.0]


def test_a_threshold_between_two_float32s_stays_between_them_in_the_graph():
    upper = np.nextafter(np.float32(0.5), np.float32(1.0))
    between = (0.5 + float(upper)) / 2
    (node, _) = stump(np.nextafter(between, 1.0)).graph().nodes
    assert node.attributes["nodes_values"][0] == 0.5
    assert stump(np.nextafter(between, 1.0)).evaluate(np.array([[0.0, upper]])).tolist() == [7.0]


def test_scores_have_the_usual_names():
    rows = batch_of(np.array([[0.0, 0.0], [0.0, 1.0]]), np.array([6.0, 7.0]))
    assert stump().score(rows) == 1.0 and stump().score(rows, "mse") == 0.0
    with pytest.raises(Misuse, match="metric"):
        stump().score(rows, "accuracy")


def test_its_own_arrays_are_trees_and_room_that_was_not_needed_does_not_count():
    arrays = stump().arrays()
    arrays["feature"][0, 2], arrays["feature"][1, 2] = LEAF, -2
    assert ForestModel.of(arrays, stump().header()).evaluate(np.zeros((1, 2))).tolist() == [6.0]


@pytest.mark.parametrize(
    ("name", "node", "value"),
    [
        ("feature", 0, 2), ("feature", 0, -2), ("feature", 1, 10**9), ("left", 0, 0), ("left", 0, 3),
        ("right", 0, -1), ("right", 0, 10**12),
    ],
)  # fmt: skip
def test_nodes_that_lead_out_of_a_tree_or_back_are_refused(name, node, value):
    """A row would fall for ever, or out of the arrays."""
    arrays = {key: array.copy() for key, array in stump().arrays().items()}
    arrays[name][0, node] = value
    with pytest.raises(Misuse, match="no trees over the features"):
        ForestModel.of(arrays, stump().header())
