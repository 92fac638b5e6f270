"""Ratings by factors and biases: both faces, the original's error, new users and items, and bad rows."""

import warnings
from typing import Any

import numpy as np
import pytest
import surprise
from scipy.sparse import csr_matrix
from sklearn.utils.estimator_checks import check_estimator

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.local_state import LocalState
from tradewind.algorithms.matrix_factorization import MatrixFactorization
from tradewind.algorithms.ratings.model import RatingModel
from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.session.stretch import model_of
from tradewind.testing.algorithms import AlgorithmLaws
from tradewind.training.in_process import learn_here
from tradewind.training.job import Job, learner_of
from tradewind.training.state_host import fresh_state


def ratings(rows: int = 4000, users: int = 90, items: int = 60, seed: int = 0) -> tuple[Any, Any]:
    """Stars of a model of three factors with noise, each user and item once."""
    chance = np.random.default_rng(seed)
    pairs = chance.permutation(users * items)[:rows]
    u, i = pairs // items, pairs % items
    p, q = chance.normal(size=(users, 3)), chance.normal(size=(items, 3))
    stars = 3.5 + chance.normal(0, 0.4, users)[u] + chance.normal(0, 0.4, items)[i]
    stars = stars + 0.4 * (p[u] * q[i]).sum(axis=1) + chance.normal(0, 0.4, rows)
    return np.c_[u, i].astype(np.float64), np.clip(np.round(stars), 1, 5)


def two_hot(x: Any, users: int, items: int) -> csr_matrix:
    at = np.c_[x[:, 0], users + x[:, 1]].astype(np.int64)
    ones = np.ones(2 * len(x))
    return csr_matrix((ones, at.reshape(-1), np.arange(len(x) + 1) * 2), shape=(len(x), users + items))


class TestTheLawsOfTwoHotRows(AlgorithmLaws):
    """On pairs of numbers the catalogue's learner is held to them."""

    tolerance = 0.06
    epochs = 20
    batch = 50

    def learner(self) -> Any:
        return MatrixFactorization(4, rate=0.1, l2=0.1, layout="two_hot", users=20, items=30)

    def data(self) -> Any:
        x, y = ratings(400, 20, 30)
        return two_hot(x, 20, 30), y


def test_scikit_learns_checks() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(MatrixFactorization(4, epochs=3), on_fail=None)
    assert len(results) > 40
    assert not [(each["check_name"], each["exception"]) for each in results if each["status"] == "failed"]


def test_the_originals_error_with_the_originals_settings() -> None:
    """scikit-surprise's SVD has the same loss and steps, in float64 and in the order of the rows."""
    x, y = ratings()
    learn, test = slice(0, 3200), slice(3200, None)
    pairs = x[learn].astype(int).tolist()
    raw = [(user, item, rating, None) for (user, item), rating in zip(pairs, y[learn], strict=True)]
    train = surprise.Dataset(surprise.Reader(rating_scale=(1, 5))).construct_trainset(raw)
    settings = {"n_factors": 8, "n_epochs": 30, "lr_all": 0.02, "reg_all": 0.05}
    theirs = surprise.SVD(random_state=0, **settings).fit(train)
    found = [theirs.predict(int(u), int(i)).est for u, i in x[test]]
    original = float(np.sqrt(np.mean((np.array(found) - y[test]) ** 2)))
    ours = MatrixFactorization(8, epochs=30, rate=0.02, l2=0.05, low=1, high=5).fit(x[learn], y[learn])
    error = ours.model_.score(batch_of(x[test], y[test]))
    biases = float(np.std(y[test]))
    assert error < 0.8 * biases, "the factors and biases say something"
    assert abs(error - original) < 0.02 * original


@pytest.mark.parametrize("parts", [1, 2, 4])
@pytest.mark.parametrize("consistency", ["bulk_synchronous", "stale_synchronous", "asynchronous"])
def test_over_the_engine_it_is_as_good_as_row_by_row(parts, consistency) -> None:
    """Within a tenth of the held-out error: the optimizers differ."""
    x, y = ratings()
    test = batch_of(x[3200:], y[3200:])
    here = MatrixFactorization(8, epochs=30, rate=0.02).fit(x[:3200], y[:3200]).model_.score(test)
    learner = MatrixFactorization(8)
    data = open_data(x[:3200], y[:3200])
    job = Job(
        learner=learner_of(learner), data={}, parts=parts, batch=100, epochs=15, consistency=consistency
    )
    engine = fresh_state(job, learner, data)
    learn_here(job, learner, data, engine)
    model = model_of(learner, engine.snapshot())
    assert abs(model.score(test) / here - 1) < 0.1
    assert len(model.user_ids) == 90 and len(model.item_ids) == 60
    assert model.bounds == (1.0, 5.0)
    assert engine.table("progress").read(None).reshape(-1)[1] == 3200 * 15


def test_numbers_may_have_gaps_and_need_no_bound() -> None:
    x, y = ratings(500, 20, 30)
    far = x * 10**13 + 5
    plain = MatrixFactorization(4, epochs=5).fit(x, y)
    gaps = MatrixFactorization(4, epochs=5).fit(far, y)
    assert gaps.model_.score(batch_of(far, y)) == pytest.approx(plain.model_.score(batch_of(x, y)), abs=0.05)
    learner, data = MatrixFactorization(4), open_data(far, y)
    engine = fresh_state(Job(learner=learner_of(learner), data={}, parts=2, batch=100), learner, data)
    learn_here(Job(learner=learner_of(learner), data={}, parts=2, batch=100), learner, data, engine)
    assert len(engine.table("users")) == 20, "rows take memory only where there are ratings"
    assert np.array_equal(
        model_of(learner, engine.snapshot()).user_ids, np.unique(far[:, 0]).astype(np.int64)
    )


def test_new_users_and_items_get_the_mean_and_the_biases_known() -> None:
    x, y = ratings()
    model = MatrixFactorization(8).fit(x, y).model_
    answers = model.evaluate(np.array([[5.0, 7.0], [5.0, 999.0], [999.0, 7.0], [999.0, 999.0]]))
    mean, user, item = model.mean, model.users[5], model.items[7]
    wanted = [mean + user[0] + item[0] + user[1:] @ item[1:], mean + user[0], mean + item[0], mean]
    assert answers == pytest.approx(np.clip(wanted, 1, 5), rel=1e-6)
    assert mean == pytest.approx(y.mean())


def test_a_new_user_is_folded_in_without_learning() -> None:
    """Held out with all ratings, then known by half of them: better than the biases alone on the others."""
    x, y = ratings(5000)
    new = x[:, 0] < 12
    model = MatrixFactorization(8, epochs=30, rate=0.02).fit(x[~new], y[~new]).model_
    shown = new & (x[:, 1] % 2 == 0)
    asked = batch_of(x[new & ~shown], y[new & ~shown])
    folded = model.fold_in(batch_of(x[shown], y[shown]))
    assert not np.isin(np.arange(12), model.user_ids).any() and np.isin(np.arange(12), folded.user_ids).all()
    assert folded.score(asked) < 0.93 * model.score(asked)
    others = batch_of(x[~new], y[~new])
    assert np.array_equal(folded.evaluate(others), model.evaluate(others)), "nobody else is changed"
    whole = MatrixFactorization(8, epochs=30, rate=0.02).fit(
        np.vstack([x[~new], x[shown]]), np.r_[y[~new], y[shown]]
    )
    assert folded.score(asked) < 1.1 * whole.model_.score(asked)


def test_folding_in_is_the_least_squares_of_the_loss() -> None:
    x, y = ratings()
    model = MatrixFactorization(4).fit(x, y).model_
    rows = np.array([[500.0, 3.0], [500.0, 8.0], [500.0, 21.0], [500.0, 4000.0]])
    stars = np.array([5.0, 4.0, 1.0, 2.0])
    folded = model.fold_in(batch_of(rows, stars))
    mine = folded.users[list(folded.user_ids).index(500)].astype(float)

    def loss(row: Any) -> float:
        off = [model.mean + row[0] + model.items[i, 0] + row[1:] @ model.items[i, 1:] for i in (3, 8, 21)]
        return float(((np.array(off) - stars[:3]) ** 2).sum() + 3 * model.l2 * (row**2).sum())

    chance = np.random.default_rng(0)
    assert all(loss(mine) < loss(mine + chance.normal(0, 0.01, 5)) for _ in range(50))
    nobody = model.fold_in(batch_of(np.array([[700.0, 4000.0]]), np.array([3.0])))
    assert 700 not in nobody.user_ids, "who rated no known item stays unknown"


def test_the_best_items_for_a_user() -> None:
    x, y = ratings()
    model = MatrixFactorization(8).fit(x, y).model_
    items, expected = model.recommend(3, 5, without=[1, 2])
    asked = np.c_[np.full(60, 3.0), np.arange(60.0)]
    answers = model.evaluate(asked)
    assert len(items) == 5 and not np.isin(items, [1, 2]).any()
    assert expected == pytest.approx(answers[items], rel=1e-6)
    rest = np.setdiff1d(np.arange(60), [*items, 1, 2])
    assert expected.min() >= answers[rest].max() - 1e-6
    liked, _ = model.recommend(12345, 1)
    assert liked[0] == model.item_ids[np.argmax(model.items[:, 0])]


def test_two_hot_rows_say_the_same_as_numbers() -> None:
    x, y = ratings(500, 20, 30)
    rows = two_hot(x, 20, 30)
    ids = MatrixFactorization(4, epochs=5).fit(x, y)
    hot = MatrixFactorization(4, epochs=5, layout="two_hot", users=20)
    for form in (rows, rows.toarray()):
        hot.fit(form, y)
        assert np.array_equal(hot.predict(form), ids.predict(x))


def test_the_model_is_used_with_numpy_alone() -> None:
    x, y = ratings()
    model = MatrixFactorization(8).fit(x, y).model_
    arrays, header = model.arrays(), model.header()
    u, i = np.searchsorted(arrays["user_ids"], x[:, 0]), np.searchsorted(arrays["item_ids"], x[:, 1])
    user, item = arrays["users"][u], arrays["items"][i]
    answers = header["mean"] + user[:, 0] + item[:, 0] + (user[:, 1:] * item[:, 1:]).sum(axis=1)
    assert np.clip(answers, header["low"], header["high"]) == pytest.approx(model.evaluate(x), abs=1e-5)
    again = RatingModel.of(arrays, header)
    assert np.array_equal(again.evaluate(x), model.evaluate(x)) and again.header() == header


def test_learning_on_brings_new_users_and_keeps_the_old() -> None:
    x, y = ratings()
    early = x[:, 0] < 60
    model = MatrixFactorization(8, epochs=10).fit(x[early], y[early])
    before = model.model_
    for _ in range(10):
        model.partial_fit(x[~early], y[~early])
    after = model.model_
    assert len(before.user_ids) == 60 and len(after.user_ids) == 90
    assert np.array_equal(after.users[:60], before.users), "who rates nothing new stays the same"
    late = batch_of(x[~early], y[~early])
    assert after.score(late) < 0.9 * before.score(late)
    assert after.mean == before.mean


def test_weights_count_as_repeated_ratings() -> None:
    x, y = ratings(200, 10, 20)
    states = []
    for batch in (
        Batch(2, dense=x, labels=y, weights=np.full(200, 2.0, np.float32)),
        batch_of(np.repeat(x, 2, axis=0), np.repeat(y, 2)),
    ):
        state, learner = LocalState(), MatrixFactorization(4)
        learner.initialize(state, batch)
        learner.update(state, state.draw([batch]), False)
        states.append(state)
    for key in ("users", "items"):
        ours, theirs = (state.entries(key)[1] for state in states)
        assert ours == pytest.approx(theirs, abs=1e-5)
    assert states[0].pull("progress") == pytest.approx(states[1].pull("progress"), rel=1e-5)


def bad(x: Any, y: Any, what: str, **arguments: Any) -> None:
    """Refused by both faces, the same."""
    with pytest.raises(Misuse, match=what):
        MatrixFactorization(4, **arguments).fit(x, y)
    state, learner = LocalState(), MatrixFactorization(4, **arguments)
    with pytest.raises(Misuse, match=what):
        learner.initialize(state, batch_of(x, y))


def test_bad_rows_are_one_clear_error() -> None:
    x, y = ratings(200, 10, 20)
    off = y.copy()
    off[17] = 7
    bad(x, off, "row 17: rating: 7 is not between 1 and 5", low=1, high=5)
    half = x.copy()
    half[4, 1] = 2.5
    bad(half, y, "row 4: item: 2.5 is no whole number")
    huge = x.copy()
    huge[9, 0] = 2.0**53
    bad(huge, y, "row 9: user: 9007199254740992 is above 2..53")
    bad(x, y, r"row \d+: user: 9 is not among the 9 users", users=9)
    bad(x, y, r"row \d+: item: \d+ is not among the 15 items", items=15)
    bad(two_hot(x, 10, 20)[:, :29], y, r"row \d+: 1 users and 0 items", layout="two_hot", users=10)
    bad(2 * two_hot(x, 10, 20), y, "row 0: 2 marks column", layout="two_hot", users=10)
    with pytest.raises(Misuse, match="no column 5 among 2"):
        MatrixFactorization(columns=(0, 5)).initialize(LocalState(), batch_of(x, y))
    single = np.array([[2.0**24, 1.0]], np.float32)
    with pytest.raises(Misuse, match=r"above 2\*\*24, beyond which float32 skips numbers"):
        MatrixFactorization().initialize(LocalState(), batch_of(single, np.array([1.0])))
    with pytest.raises(Misuse, match="label: there are none"):
        MatrixFactorization().initialize(LocalState(), batch_of(x))


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"factors": 0}, "factors"),
        ({"rate": -1.0}, "rate"),
        ({"l2": -0.1}, "l2"),
        ({"columns": (0, 0)}, "columns"),
        ({"columns": (0, 1, 2)}, "columns"),
        ({"low": 5, "high": 1}, "low"),
        ({"layout": "two_hot"}, "users"),
        ({"layout": "none"}, "layout"),
        ({"seed": -1}, "seed"),
    ],
)
def test_arguments_that_cannot_be_meant(arguments, field) -> None:
    with pytest.raises(Misuse, match=field):
        MatrixFactorization(**arguments).check()


def test_a_rate_that_diverges_is_told() -> None:
    x, y = ratings(200, 10, 20)
    with pytest.raises(Misuse, match="rate: the factors grew"):
        MatrixFactorization(4, rate=50.0).fit(x, y)


def test_finalize_takes_other_bounds() -> None:
    x, y = ratings(200, 10, 20)
    state, learner = LocalState(), MatrixFactorization(4)
    learner.initialize(state, batch_of(x, y))
    learner.update(state, state.draw([batch_of(x, y)]), False)
    assert learner.finalize(state).bounds == (y.min(), y.max())
    assert learner.finalize(state, low=2.0, high=3.0).evaluate(x).max() <= 3.0
    assert learner.finalize(state, clip=False).clip is False
    with pytest.raises(Misuse, match="factors"):
        learner.finalize(state, factors=3)
