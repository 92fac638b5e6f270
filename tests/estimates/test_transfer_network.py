import numpy as np
import pytest

from tradewind.errors import Misuse
from tradewind.estimates.transfer_network import (
    KEEP_TWO,
    SOURCE_ONLY,
    WAYS,
    chosen_transfer,
    gradients,
    taught,
    transferred,
)

CHANCE = np.random.default_rng(3)
ROWS = CHANCE.normal(size=(80, 4))


def source_metric(rows):
    return np.sin(rows[:, 0]) + 0.5 * rows[:, 1] * (rows[:, 2] > 0)


SOURCE = taught(ROWS, source_metric(ROWS), width=16, rounds=400)


def test_it_learns_its_source() -> None:
    wrong = SOURCE.predict(ROWS) - source_metric(ROWS)
    assert np.sqrt(np.mean(wrong**2)) < 0.2 * np.std(source_metric(ROWS))


def test_gradients_are_those_of_differences() -> None:
    targets = source_metric(ROWS)
    loss = lambda layers: float(  # noqa: E731
        np.mean((layers_out(layers) - targets) ** 2) / 2
    )

    def layers_out(layers):
        held = ROWS
        for number, (weights, biases) in enumerate(layers):
            held = held @ weights + biases
            held = np.maximum(held, 0) if number < 2 else held
        return held[:, 0]

    found = gradients(SOURCE.layers, ROWS, targets)
    for layer in range(3):
        for part in range(2):
            moved = [[each.copy() for each in both] for both in SOURCE.layers]
            moved[layer][part].flat[1 if moved[layer][part].size > 1 else 0] += 1e-6
            slope = (loss(moved) - loss(SOURCE.layers)) / 1e-6
            flat = found[layer][part].ravel()
            assert flat[1 if flat.size > 1 else 0] == pytest.approx(slope, abs=1e-4)


def test_layers_that_are_kept_are_the_same_to_the_bit() -> None:
    network = transferred(SOURCE, ROWS[:6], 3 * source_metric(ROWS[:6]), KEEP_TWO)
    for kept, before in zip(network.layers[:2], SOURCE.layers[:2], strict=True):
        assert (kept[0] == before[0]).all() and (kept[1] == before[1]).all()
    assert (network.layers[2][0] != SOURCE.layers[2][0]).any()


def test_source_only_takes_the_level_of_the_target() -> None:
    network = transferred(SOURCE, ROWS[:5], SOURCE.predict(ROWS[:5]) + 7, SOURCE_ONLY)
    assert network.predict(ROWS) == pytest.approx(SOURCE.predict(ROWS) + 7)


def test_the_way_is_chosen_by_samples_left_out() -> None:
    same = chosen_transfer(SOURCE, ROWS[:6], SOURCE.predict(ROWS[:6]) + 2, rounds=40)
    assert same[0] == SOURCE_ONLY and same[2] < 1e-9
    other = chosen_transfer(SOURCE, ROWS[:8], 5 * source_metric(ROWS[:8]), rounds=100)
    assert other[0] != SOURCE_ONLY


def test_a_few_samples_do_better_with_a_source_than_without() -> None:
    target = 1.5 * source_metric(ROWS) + 1
    errors = {}
    for way in WAYS:
        network = transferred(SOURCE, ROWS[:10], target[:10], way)
        errors[way] = np.mean(np.abs(network.predict(ROWS[10:]) - target[10:])) / np.mean(np.abs(target))
    assert min(errors["keep_two"], errors["fine_tuned"]) < 0.8 * errors["scratch"]


def test_two_samples_choose_nothing() -> None:
    assert chosen_transfer(SOURCE, ROWS[:2], [1.0, 2.0])[0] == SOURCE_ONLY


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(Misuse, match="no way"):
        transferred(SOURCE, ROWS[:3], [1, 2, 3], "thaw")
    with pytest.raises(Misuse, match="rows"):
        taught(ROWS, [1.0])
