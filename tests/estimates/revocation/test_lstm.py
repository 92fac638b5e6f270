from __future__ import annotations

import builtins
import math

import numpy as np
import pytest
from made_up_histories import MONDAY

from tradewind.data.tensor_files import read_tensors, write_tensors
from tradewind.errors import Corrupt, MissingExtra
from tradewind.estimates.revocation import empirical, lstm
from tradewind.estimates.revocation.columns import Columns
from tradewind.estimates.revocation.evaluation import answers, asked_of
from tradewind.estimates.revocation.experience import experience_of
from tradewind.estimates.revocation.sights import situations

ROWS = np.arange(2500)


@pytest.fixture(scope="module")
def experience(priced):
    return experience_of(priced)


@pytest.fixture(scope="module")
def learned(experience):
    pytest.importorskip("torch")
    return lstm.learn(experience, ROWS, many=4000, epochs=2)


def test_chances_fall_in_the_bid_and_rise_in_the_horizon(experience, learned):
    chances = answers(learned, experience, asked_of(experience, np.arange(0, 3400, 40)).cases)
    assert (np.diff(chances, axis=1) <= 1e-9).all() and (np.diff(chances, axis=2) >= -1e-9).all()
    assert np.ptp(chances[:, 3, 2]) > 0.1


def test_the_same_seed_gives_the_same_weights(experience, learned):
    again = lstm.learn(experience, ROWS, many=4000, epochs=2)
    other = lstm.learn(experience, ROWS, many=4000, epochs=2, seed=1)
    for name, each in learned.tensors()[0].items():
        assert np.array_equal(each, again.tensors()[0][name])
        assert not np.array_equal(each, other.tensors()[0][name])


def test_numpy_answers_as_torch_does(experience, learned):
    torch = pytest.importorskip("torch")
    weights = learned.tensors()[0]
    cases = asked_of(experience, np.arange(2600, 2640)).cases
    inputs = lstm.sequences(experience.columns, cases)
    network = torch.nn.LSTM(inputs.shape[2], weights["weight_hh"].shape[1], batch_first=True)
    with torch.no_grad():
        network.weight_ih_l0.copy_(torch.from_numpy(weights["weight_ih"]))
        network.weight_hh_l0.copy_(torch.from_numpy(weights["weight_hh"]))
        network.bias_ih_l0.copy_(torch.from_numpy(weights["bias"]))
        network.bias_hh_l0.zero_()
        hidden = network(torch.from_numpy(inputs))[1][0][0].numpy()
    context = np.zeros((len(cases), weights["dense"].shape[1] - hidden.shape[1]), np.float32)
    dense = np.tanh(np.concatenate([hidden, context], axis=1) @ weights["dense"].T + weights["dense_bias"])
    expected = dense @ weights["head"].T + weights["head_bias"]
    assert np.allclose(lstm.coefficients_of(weights, inputs, context), expected, atol=1e-5)


def test_it_lives_on_in_a_safetensors_file(experience, learned, tmp_path):
    arrays, words = learned.tensors()
    write_tensors(tmp_path / "forecast.safetensors", arrays, words)
    model = lstm.loaded(*read_tensors(tmp_path / "forecast.safetensors"), experience, ROWS)
    cases = asked_of(experience, np.arange(2600, 2640)).cases
    assert np.array_equal(answers(model, experience, cases), answers(learned, experience, cases))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda arrays, words: words.pop("calibration"),
        lambda arrays, words: words.update(format="99"),
        lambda arrays, words: words.update(deltas="[0.1]"),
        lambda arrays, words: words.update(trust="[]"),
        lambda arrays, words: arrays.pop("head"),
        lambda arrays, words: arrays.update(head=arrays["head"][:2]),
        lambda arrays, words: arrays.update(head=np.full_like(arrays["head"], np.nan)),
    ],
)
def test_a_spoilt_file_is_corrupt(experience, learned, spoil):
    arrays, words = learned.tensors()
    spoil(arrays, words)
    with pytest.raises(Corrupt, match="here"):
        lstm.loaded(arrays, words, experience, ROWS, source="here")


def test_without_torch_the_extra_is_named(experience, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "torch":
            raise ModuleNotFoundError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"tradewind\[deep\]"):
        lstm.learn(experience, ROWS)


def test_where_little_is_known_the_frequencies_answer(experience):
    pytest.importorskip("torch")
    model, usual = lstm.learn(experience, np.arange(20)), empirical.learn(experience, np.arange(20))
    cases = asked_of(experience, np.arange(50, 60)).cases
    assert np.array_equal(answers(model, experience, cases), answers(usual, experience, cases))
    kept = lstm.loaded(*model.tensors(), experience, np.arange(20))
    assert np.array_equal(answers(kept, experience, cases), answers(usual, experience, cases))


def test_the_channels_are_those_of_the_grid(priced, counted):
    pool = priced.pools[0]
    columns, now = Columns(priced), MONDAY + 3.5 * 86400
    channels = lstm.sequences(columns, situations(columns, np.array([now])))[0]
    assert channels.shape == (lstm.STEPS, 5)
    for step in range(lstm.STEPS):
        until = now - (lstm.STEPS - 1 - step) * 600
        times, values = priced.prices[pool].times, priced.prices[pool].prices
        within = (times > until - 600) & (times <= until)
        price = priced.prices[pool].at(now)
        assert channels[step, 0] == pytest.approx(math.log(priced.prices[pool].at(until) / price), abs=1e-6)
        assert math.expm1(channels[step, 2]) == pytest.approx(within.sum(), abs=1e-4)
        highest = max([priced.prices[pool].at(until - 600), *values[within]])
        assert channels[step, 1] == pytest.approx(math.log(highest / price), abs=1e-6)
        assert channels[step, 4] == 1.0
    capacity = counted.capacities[pool]
    columns = Columns(counted)
    channels = lstm.sequences(columns, situations(columns, np.array([now])))[0]
    for step in range(lstm.STEPS):
        until = now - (lstm.STEPS - 1 - step) * 600
        seen = np.mean([capacity.available(moment) > 0 for moment in np.linspace(until - 599.5, until, 600)])
        assert channels[step, 4] == pytest.approx(seen, abs=0.01)
        assert math.expm1(channels[step, 3]) == pytest.approx(capacity.available(until), abs=1e-5)
