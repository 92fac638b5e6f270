"""The network beside torch's own LSTM and distributions."""

import numpy as np
import pytest
import torch
from torch import distributions, nn

from tradewind.algorithms.deep.deepar_cell import step_forward
from tradewind.algorithms.deep.deepar_network import DeepARNetwork, _Recurrence, losses
from tradewind.algorithms.deep.deepar_sampling import EDGE, PARAMETERS_OF, draw


@pytest.mark.parametrize(("T", "B", "F", "H"), [(1, 1, 1, 1), (7, 3, 5, 4), (12, 9, 6, 17)])
def test_a_layer_and_its_gradients_are_torchs(T, B, F, H) -> None:
    torch.manual_seed(T)
    reference = nn.LSTM(F, H)
    x, weight = torch.randn(T, B, F, requires_grad=True), torch.randn(T, B, H)
    wanted = reference(x)[0]
    parts = [x, reference.weight_ih_l0, reference.weight_hh_l0, reference.bias_ih_l0]
    gradients = torch.autograd.grad((wanted * weight).sum(), parts)
    found = _Recurrence.apply(*parts[:3], reference.bias_ih_l0 + reference.bias_hh_l0)
    assert torch.allclose(found, wanted, atol=2e-6)
    for ours, theirs in zip(torch.autograd.grad((found * weight).sum(), parts), gradients, strict=True):
        assert torch.allclose(ours, theirs, atol=2e-5, rtol=1e-4)


def test_large_sums_stay_finite_and_saturate() -> None:
    gates = np.array([[-1e30, 1e30, 50.0, -50.0], [np.inf, -np.inf, -9.0, 9.0]], np.float32)
    out = [np.empty((2, 1), np.float32) for _ in range(3)]
    step_forward(gates, np.full((2, 1), 3, np.float32), *out)
    assert gates == pytest.approx(np.array([[0, 1, 1, 0], [1, 0, -1, 1]]), abs=2e-4)
    assert out[0][:, 0] == pytest.approx([3, -1], abs=1e-3)


def test_dropout_is_drawn_from_the_generator_alone() -> None:
    network = DeepARNetwork(3, (2,), 4, 5, 2, 0.5, "gaussian")
    x, categories = torch.randn(6, 4, 3), torch.tensor([[0], [1], [2], [0]])
    kept = network(x, categories)
    assert kept.shape == (6, 4, 2) and torch.equal(kept, network(x, categories))
    draws = [network(x, categories, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], kept)


def test_its_arrays_have_the_models_names() -> None:
    network = DeepARNetwork(3, (2, 5), 4, 6, 2, 0.0, "student_t")
    shapes = {name: array.shape for name, array in network.plain().items()}
    assert shapes == {
        "embedding0": (3, 4), "embedding1": (6, 4), "lstm0_input": (11, 24), "lstm0_recurrent": (6, 24),
        "lstm0_bias": (24,), "lstm1_input": (6, 24), "lstm1_recurrent": (6, 24), "lstm1_bias": (24,),
        "head_weights": (6, 3), "head_bias": (3,),
    }  # fmt: skip


def test_its_arrays_take_inputs_as_they_are() -> None:
    """What is taken from inputs and divided out is folded into the first layer."""
    chance = np.random.default_rng(0)
    scales = np.stack([chance.normal(size=3), [0.5, 0.0, 1.0]])
    torch.manual_seed(0)
    network = DeepARNetwork(3, (2,), 4, 6, 1, 0.0, "gaussian", scales)
    x, arrays = chance.normal(size=(1, 5, 3)).astype(np.float32), network.plain()
    wanted = network(torch.from_numpy(x), torch.tensor([[0], [1], [2], [0], [1]]))[0].detach().numpy()
    rows = np.hstack([x[0], arrays["embedding0"][[0, 1, 2, 0, 1]]])
    out = [np.empty((5, 6), np.float32) for _ in range(3)]
    step_forward(rows @ arrays["lstm0_input"] + arrays["lstm0_bias"], np.zeros((5, 6), np.float32), *out)
    assert out[2] @ arrays["head_weights"] + arrays["head_bias"] == pytest.approx(wanted, abs=1e-5)
    assert (arrays["lstm0_input"][1] == 0).all() and len(list(network.buffers())) == 0


def test_cells_are_kept_in_the_beginning() -> None:
    torch.manual_seed(0)
    bias = DeepARNetwork(3, (), 1, 16, 1, 0.0, "gaussian").biases[0].detach()
    assert (bias[16:32] >= 0.75).all() and (bias[:16].abs() <= 0.25).all() and (bias[32:].abs() <= 0.25).all()


RAW = torch.tensor([[[0.3, -0.2, 0.5], [1.5, 0.7, -2.0]]], dtype=torch.float64)
SCALE = torch.tensor([2.0, 10.0], dtype=torch.float64)
SOFT = nn.functional.softplus(RAW)


@pytest.mark.parametrize(
    ("likelihood", "target", "reference"),
    [
        ("gaussian", [1.0, -7.0], distributions.Normal(RAW[..., 0] * SCALE, (SOFT[..., 1] + EDGE) * SCALE)),
        (
            "student_t", [5.0, -70.0],
            distributions.StudentT(2 + SOFT[..., 2], RAW[..., 0] * SCALE, (SOFT[..., 1] + EDGE) * SCALE),
        ),
        (
            "negative_binomial", [0.0, 12.0],
            distributions.NegativeBinomial(
                SCALE.sqrt() / (SOFT[..., 1] + EDGE),
                logits=((SOFT[..., 0] + EDGE) * SCALE * (SOFT[..., 1] + EDGE) / SCALE.sqrt()).log(),
            ),
        ),
        ("beta", [0.3, 0.99], distributions.Beta(SOFT[..., 0] + EDGE, SOFT[..., 1] + EDGE)),
    ],
)  # fmt: skip
def test_likelihoods_and_draws_are_those_of_the_distributions(likelihood, target, reference) -> None:
    y = torch.tensor([target], dtype=torch.float64)
    found = losses(likelihood, RAW, y, SCALE)
    assert torch.allclose(found, -reference.log_prob(y), rtol=1e-5)
    raw = np.repeat(RAW[0, :, : PARAMETERS_OF[likelihood]].numpy().astype(np.float32), 40_000, axis=0)
    scale = np.repeat(SCALE.numpy().astype(np.float32), 40_000)
    paths = draw(likelihood, raw, scale, np.random.default_rng(3)).reshape(2, -1)
    torch.manual_seed(1)
    wanted = reference.sample((40_000,))[:, 0].numpy().T
    for level in (0.1, 0.5, 0.9):
        spread = np.quantile(wanted, 0.9, axis=1) - np.quantile(wanted, 0.1, axis=1)
        apart = np.quantile(paths, level, axis=1) - np.quantile(wanted, level, axis=1)
        assert (np.abs(apart) <= 0.03 * spread + (likelihood == "negative_binomial")).all()


def test_without_a_distribution_errors_are_absolute() -> None:
    found = losses("deterministic_l1", RAW[..., :1], torch.tensor([[1.0, 5.0]]), SCALE)
    assert found.tolist() == [pytest.approx([0.5 - 0.3, 1.5 - 0.5])]
    raw = RAW[0, :, :1].numpy().astype(np.float32)
    answers = draw("deterministic_l1", raw, np.array([2, 10], np.float32), np.random.default_rng(0))
    assert answers == pytest.approx([0.6, 15.0])


def test_tails_stay_numbers() -> None:
    raw = np.full((1000, 3), [0, 80, -80], np.float32)
    found = draw("student_t", raw, np.full(1000, 1e36, np.float32), np.random.default_rng(0))
    assert np.isfinite(found).all()
