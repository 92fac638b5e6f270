"""A learned DeepAR without torch: forecasts, metrics, its open layout, one step in ONNX."""

import json
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
from scipy.special import expit

from tradewind.algorithms.deep.deepar_calendar import frequency_called
from tradewind.algorithms.deep.deepar_model import DeepARModel, known
from tradewind.algorithms.deep.deepar_sampling import PARAMETERS_OF
from tradewind.algorithms.series import series_rows, wide_rows
from tradewind.data.onnx_files import onnx_bytes
from tradewind.errors import Misuse

LAGS = [1, 2, 3, 5]


def model(likelihood: str = "student_t", F: int = 0, C: tuple[int, ...] = (), layers: int = 2, **changes):
    """A model whose parameters were never learned."""
    chance = np.random.default_rng(5)
    H, width = 6, len(LAGS) + 1 + 4 + 1 + F + 1 + 3 * len(C)
    arrays = {"dynamic_shift": np.full(F, 1.0), "dynamic_spread": np.full(F, 2.0)}
    arrays |= {f"embedding{c}": chance.normal(size=(count + 1, 3)) for c, count in enumerate(C)}
    for n in range(layers):
        arrays[f"lstm{n}_input"] = chance.normal(size=(H if n else width, 4 * H)) * 0.4
        arrays[f"lstm{n}_recurrent"] = chance.normal(size=(H, 4 * H)) * 0.4
        arrays[f"lstm{n}_bias"] = chance.normal(size=4 * H) * 0.2
    arrays["head_weights"] = chance.normal(size=(H, PARAMETERS_OF[likelihood])) * 0.7
    arrays["head_bias"] = chance.normal(size=PARAMETERS_OF[likelihood]) * 0.3
    settings = {
        "time_freq": "H", "likelihood": likelihood, "context_length": 4, "lags": LAGS, "fallback_scale": 2.0,
        "ignored_series": 0, "quantiles": [0.1, 0.5, 0.9], "num_eval_samples": 20, "prediction_length": 7,
        "seed": 3, **changes,
    }  # fmt: skip
    return DeepARModel(arrays, settings)


GIVEN = [
    {"start": "2026-01-01", "target": [3, 4, None, 5, 1, 2, 9], "cat": 1, "dynamic_feat": [[*range(20)]]},
    {"start": "2026-01-02", "target": [6, 1], "cat": [7], "dynamic_feat": [list(range(9))]},
    {"start": "2026-01-02", "target": [], "cat": [0], "dynamic_feat": [list(range(7))]},
]


def by_numpy_alone(arrays, header, given) -> np.ndarray:
    """The forecast of `deterministic_l1`, from what the model's file holds."""
    C = [name for name in arrays if name.startswith("embedding")]
    context, steps = header["context_length"], header["prediction_length"]
    target = [np.nan if each is None else float(each) for each in given["target"]]
    L = len(target)
    recent = [abs(each) for each in target[-context:] if not np.isnan(each)]
    scale = np.mean(recent) if recent and np.mean(recent) > 0 else header["fallback_scale"]
    values = [each / scale for each in target]
    states = [(0.0, 0.0)] * header["layers"]
    answers = []
    for t in range(L - context, L + steps):

        def back(lag: int, t: int = t) -> float:
            at = t - lag
            while at >= 0 and np.isnan(values[at]):
                at -= 1
            return values[at] if at >= 0 else 0.0

        at = np.datetime64(given["start"], "s") + np.timedelta64(3600 * t, "s")
        calendar = frequency_called("H").calendar(np.array([at.astype(np.int64)]))[0]
        seen = float(t > 0 and not np.isnan(values[t - 1]))
        dynamic = [(given["dynamic_feat"][0][t] - arrays["dynamic_shift"][0]) / arrays["dynamic_spread"][0]]
        x = [*(back(lag) for lag in header["lags"]), seen, *calendar, np.log10(2 + max(t, 0))]
        x += [*(dynamic if t >= 0 else [0.0]), np.log(scale)]
        for name, category in zip(C, np.atleast_1d(given["cat"]), strict=True):
            x += arrays[name][min(category, len(arrays[name]) - 1)].tolist()
        h = np.array(x)
        for n, (hidden, cell) in enumerate(states):
            gates = h @ arrays[f"lstm{n}_input"] + arrays[f"lstm{n}_bias"]
            if t > L - context:
                gates = gates + hidden @ arrays[f"lstm{n}_recurrent"]
            i, f, g, o = np.split(gates, 4)
            cell = expit(f) * cell + expit(i) * np.tanh(g)
            h = expit(o) * np.tanh(cell)
            states[n] = (h, cell)
        if t >= L:
            values.append(float((h @ arrays["head_weights"] + arrays["head_bias"])[0]))
            answers.append(values[-1] * scale)
    return np.array(answers)


@pytest.mark.parametrize("row", [0, 1, 2])
def test_forecasts_follow_from_the_arrays_and_the_header_by_numpy_alone(row) -> None:
    found = model("deterministic_l1", F=1, C=(5,))
    arrays, header = found.arrays(), json.loads(json.dumps(found.header()))
    answers = found.evaluate(series_rows(GIVEN))
    assert answers.shape == (3, 7, 3)
    assert answers[row, :, 1] == pytest.approx(by_numpy_alone(arrays, header, GIVEN[row]), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("likelihood", PARAMETERS_OF)
def test_paths_repeat_and_quantiles_rise(likelihood) -> None:
    found, rows = model(likelihood), wide_rows([[0.1, 0.9, 0.5, 0.4, 0.2, 0.7]] * 300)
    paths = found.samples(rows)
    assert paths.shape == (300, 20, 7) and np.isfinite(paths).all()
    assert np.array_equal(paths, found.samples(rows))
    again = DeepARModel.of(found.arrays(), json.loads(json.dumps(found.header())))
    assert np.array_equal(paths, again.samples(rows)) and again.header() == found.header()
    assert (np.diff(found.evaluate(rows), axis=2) >= 0).all()
    if likelihood != "deterministic_l1":
        assert not np.array_equal(paths, found.samples(rows, seed=4))
    if likelihood == "negative_binomial":
        assert (paths >= 0).all() and (paths == np.round(paths)).all()
    if likelihood == "beta":
        assert (paths >= 0).all() and (paths <= 1).all()


@pytest.mark.parametrize("likelihood", ["gaussian", "deterministic_l1"])
def test_many_series_are_forecast_as_one_by_one_would_be(likelihood) -> None:
    """They are sampled in parts, and none has to do with another."""
    found = model(likelihood, num_eval_samples=1000)
    table = np.random.default_rng(0).normal(size=(9, 12))
    together = found.evaluate(wide_rows(table))
    alone = np.concatenate([found.evaluate(wide_rows(row[None])) for row in table])
    assert together == pytest.approx(alone, rel=1e-4, abs=1e-5)


def test_the_first_draw_is_the_networks_distribution() -> None:
    """Over many paths: the first step's median is the location that the network gives."""
    found = model("gaussian", num_eval_samples=4000)
    rows = wide_rows([[1.0, 2.0, 3.0, 2.0, 1.0]])
    arrays = found.arrays()
    location = DeepARModel(
        {**arrays, "head_weights": arrays["head_weights"][:, :1], "head_bias": arrays["head_bias"][:1]},
        {**found._settings, "likelihood": "deterministic_l1"},
    )
    first = found.samples(rows)[0, :, 0]
    assert np.median(first) == pytest.approx(
        location.samples(rows, 1)[0, 0, 0], abs=4 * float(first.std()) / 60
    )


def test_scores_are_backtests() -> None:
    found = model("deterministic_l1")
    table = np.random.default_rng(1).normal(size=(4, 12)) + 5
    table[3, 7:] = np.nan  # no longer than the forecast: left out
    forecast = found.evaluate(wide_rows(table[:3, :5]))[:, :, 1]
    actual = table[:3, 5:12]
    rows = wide_rows(table)
    nd = np.abs(actual - forecast).sum() / np.abs(actual).sum()
    assert found.score(rows, "nd") == pytest.approx(nd, rel=1e-5)
    assert found.score(rows) == pytest.approx(nd, rel=1e-5)  # all quantiles are the same here
    assert found.score(rows, "rmse") == pytest.approx(np.sqrt(np.square(actual - forecast).mean()), rel=1e-5)
    assert 0 <= found.score(rows, "smape") <= 2 and found.score(rows, "coverage") == 0
    assert model(time_freq="D", lags=LAGS, quantiles=[0.05, 0.95]).header()["inputs"][5] == "day_of_week"
    with pytest.raises(Misuse, match="no metric of DeepAR"):
        found.score(rows, "mape")
    with pytest.raises(Misuse, match="no series is longer than 7"):
        found.score(wide_rows(table[:, :7]))


def test_mase_divides_by_the_seasonal_naive_error_of_the_history() -> None:
    found = model("deterministic_l1", time_freq="12H")
    width = len(found.header()["inputs"])
    assert width == len(found.arrays()["lstm0_input"]) and found.frequency.season == 2
    row = np.array([1.0, 2.0, 3.0, 5.0, 4.0, 4.0, 2.0, 8.0, 1.0, 3.0, 3.0, 2.0])
    forecast = found.evaluate(wide_rows(row[None, :5]))[0, :, 1]
    naive = np.abs(row[2:5] - row[:3]).mean()
    wanted = np.abs(row[5:] - forecast).mean() / naive
    assert found.score(wide_rows(row[None]), "mase") == pytest.approx(wanted, rel=1e-5)


def test_what_cannot_be_forecast_is_told() -> None:
    found = model(F=1, C=(5,))
    short = [{**GIVEN[0], "dynamic_feat": [list(range(13))]}, {**GIVEN[1], "dynamic_feat": [list(range(14))]}]
    with pytest.raises(Misuse, match=r"series 0: dynamic_feat: it ends before the 7 steps"):
        found.evaluate(series_rows(short))
    with pytest.raises(Misuse, match=r"dynamic_feat: the model learned with 1"):
        found.evaluate(wide_rows([[1.0, 2.0]]))
    with pytest.raises(Misuse, match=r"cat: the model learned with 1"):
        found.evaluate(series_rows([{**GIVEN[0], "cat": [1, 1]}]))
    with pytest.raises(Misuse, match="is no quantile"):
        model().quantiles(wide_rows([[1.0]]), [1.5])
    with pytest.raises(Misuse, match="0 paths"):
        model().samples(wide_rows([[1.0]]), 0)


def test_categories_never_seen_share_an_embedding() -> None:
    assert known(np.array([0, 4, 5, 99]), 5).tolist() == [0, 4, 5, 5]
    found = model(F=1, C=(5,))
    answers = [found.evaluate(series_rows([{**GIVEN[0], "cat": [cat]}])) for cat in (5, 600, 1)]
    assert np.array_equal(answers[0], answers[1]) and not np.array_equal(answers[0], answers[2])


@pytest.mark.parametrize("layers", [1, 2])
def test_one_step_in_onnx(layers) -> None:
    found = model(C=(5,), layers=layers)
    with pytest.raises(Misuse, match="ONNX cannot draw"):
        found.graph()
    session = onnxruntime.InferenceSession(onnx_bytes(found.step_graph()), providers=["CPUExecutionProvider"])
    chance = np.random.default_rng(2)
    given = {
        each.name: chance.normal(size=(5, each.shape[1])).astype(np.float32) for each in session.get_inputs()
    }
    arrays, states = found.arrays(), []
    for n in range(layers):
        states += [given[f"h{n}"].copy(), given[f"c{n}"].copy()]
    gates = given["X"] @ arrays["lstm0_input"] + arrays["lstm0_bias"]
    answers = [found._step(gates, states), *states]
    for ours, theirs in zip(answers, session.run(None, given), strict=True):
        assert np.abs(ours - theirs).max() < 1e-5


def test_a_model_answers_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import tradewind.algorithms.deep.deepar_model, tradewind.algorithms.series\n"
        "print('torch free')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "torch free", done.stderr
