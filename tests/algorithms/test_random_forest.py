"""Random forests: scikit-learn's conventions, the papers' pasting over a state, and what leaves the house."""

import warnings

import numpy as np
import onnxruntime
import pytest
from sklearn.datasets import load_diabetes, load_digits
from sklearn.ensemble import RandomForestClassifier as Theirs
from sklearn.exceptions import SkipTestWarning
from sklearn.model_selection import train_test_split
from sklearn.utils.estimator_checks import check_estimator

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.random_forest import RandomForestClassifier, RandomForestRegressor
from tradewind.algorithms.trees.forest import ForestModel
from tradewind.data.onnx_files import onnx_bytes
from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.session.stretch import model_of
from tradewind.training.in_process import learn_here
from tradewind.training.job import Job, build_algorithm, learner_of
from tradewind.training.state_host import fresh_state

DIGITS = train_test_split(*load_digits(return_X_y=True), random_state=0)


@pytest.mark.parametrize("estimator", [RandomForestClassifier(8), RandomForestRegressor(8)], ids=repr)
def test_scikit_learn_finds_nothing_to_complain_of(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = check_estimator(estimator, on_fail=None)
    assert not [each["exception"] for each in results if each["status"] == "failed"]
    assert len(results) >= 50


def trained(parts=4, batch=200, consistency="bulk_synchronous", **options):
    rows, _, labels, _ = DIGITS
    learner = RandomForestClassifier(40, trees_per_batch=6, **options)
    job = Job(learner=learner_of(learner), data={}, parts=parts, batch=batch, consistency=consistency)
    data = open_data(rows, labels)
    engine = fresh_state(job, learner, data)
    learn_here(job, build_algorithm(job.learner), data, engine)
    return model_of(learner, engine.snapshot())


def test_in_one_process_it_is_as_good_as_the_forest_that_it_is_made_of():
    rows, others, labels, truth = DIGITS
    ours = RandomForestClassifier(100).fit(rows, labels).score(others, truth)
    theirs = Theirs(100, random_state=0).fit(rows, labels).score(others, truth)
    assert ours >= theirs - 0.01
    with pytest.raises(ValueError, match="n_estimators"):
        RandomForestClassifier(0).fit(rows, labels)


@pytest.mark.parametrize("consistency", ["bulk_synchronous", "asynchronous"])
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_over_any_number_of_workers_the_quality_is_the_same(parts, consistency):
    rows, others, labels, truth = DIGITS
    here = RandomForestClassifier(40, batch_size=200).fit(rows, labels).score(others, truth)
    accuracy = trained(parts, consistency=consistency).score(batch_of(others, truth.astype(float)))
    assert abs(accuracy - here) < 0.035
    assert accuracy > 0.9  # each tree has seen a bootstrap of 200 rows


def test_two_jobs_grow_the_same_trees():
    first, second = trained(), trained()
    assert all(np.array_equal(first.arrays()[name], second.arrays()[name]) for name in first.arrays())


def test_plain_numpy_gives_the_same_answers():
    model = trained()
    arrays, rows = model.arrays(), DIGITS[1][:50].astype(np.float32)
    answers = []
    for row in rows:
        total = 0
        for tree in range(len(arrays["feature"])):
            node = 0
            while arrays["feature"][tree, node] != -1:
                left = row[arrays["feature"][tree, node]] <= arrays["threshold"][tree, node]
                node = arrays["left" if left else "right"][tree, node]
            total = total + arrays["values"][tree, node]
        answers.append(total / len(arrays["feature"]))
    np.testing.assert_allclose(answers, model.evaluate(rows), rtol=1e-12)


@pytest.mark.parametrize("kind", ["classes", "values"])
def test_onnx_gives_the_same_answers(kind):
    if kind == "classes":
        model, rows = trained(), DIGITS[1]
    else:
        rows, values = load_diabetes(return_X_y=True)
        model = RandomForestRegressor(10, max_leaf_nodes=32).fit(rows, values).model_
    rows = rows.astype(np.float32)
    session = onnxruntime.InferenceSession(onnx_bytes(model.graph()))
    np.testing.assert_allclose(session.run(None, {"X": rows})[0], model.evaluate(rows), rtol=1e-5, atol=1e-5)


def test_a_model_is_its_arrays_and_header():
    model = trained()
    again = ForestModel.of(model.arrays(), model.header())
    assert np.array_equal(again.evaluate(DIGITS[1]), model.evaluate(DIGITS[1]))
    assert np.array_equal(again.predict(DIGITS[1]), model.predict(DIGITS[1]))
    with pytest.raises(Misuse, match="threshold"):
        ForestModel.of({"feature": model.feature}, model.header())


def test_fewer_trees_can_be_asked_for():
    rows, values = load_diabetes(return_X_y=True)
    forest = RandomForestRegressor(6).fit(rows, values)
    assert len(forest.finalize(forest._state, trees=2).feature) == 2
    with pytest.raises(Misuse, match="trees"):
        forest.finalize(forest._state, trees=7)
    with pytest.raises(Misuse, match="Did you mean 'trees'"):
        forest.finalize(forest._state, tree=1)


def test_text_labels_come_back_as_text():
    forest = RandomForestClassifier(5).fit([[0.0], [1.0], [2.0], [3.0]] * 5, ["no", "no", "yes", "yes"] * 5)
    assert forest.predict([[0.1], [2.9]]).tolist() == ["no", "yes"]
    again = ForestModel.of(forest.model_.arrays(), forest.model_.header())
    assert again.predict(np.array([[0.1], [2.9]])).tolist() == ["no", "yes"]


def test_a_constant_value_is_learned_and_strange_rows_are_refused():
    rows = np.arange(12.0).reshape(6, 2)
    forest = RandomForestRegressor(3).fit(rows, np.zeros(6))
    assert forest.predict(rows).tolist() == [0.0] * 6
    with pytest.raises(Misuse, match="features"):
        forest.model_.evaluate(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="NaN"):
        forest.fit([[np.nan, 1.0], [2.0, 3.0]], [0.0, 1.0])
