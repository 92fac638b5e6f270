"""DeepAR's network in torch: stacked LSTMs with fused steps, and its likelihoods.

Salinas, Flunkert, Gasthaus and Januschowski, International Journal of Forecasting 36 (2020), sections 3.1 and
3.2. The LSTM is torch's by its numbers; its gradient is written out by hand, a matrix product and one kernel
a step, which is several times as fast on a processor as torch's own for layers this small. It learns from
inputs of mean zero and a spread of one at most, and begins by keeping its cells: the bias of the forget gate
is one more (Gers, Schmidhuber and Cummins, Neural Computation 12, 2000; Jozefowicz, Zaremba and Sutskever,
ICML 2015).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from tradewind.algorithms.deep.deepar_cell import step_backward, step_forward
from tradewind.algorithms.deep.deepar_sampling import EDGE, PARAMETERS_OF


class _Recurrence(torch.autograd.Function):
    """An LSTM layer from zero: (T, B, F) to (T, B, H)."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, w_in: torch.Tensor, w_back: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        T, B, F = x.shape
        H = w_back.shape[1]
        gates = torch.addmm(bias, x.reshape(T * B, F), w_in.t()).view(T, B, 4 * H)
        cells, squashed, hidden = (torch.empty(T, B, H) for _ in range(3))
        raw, c, s, h = gates.numpy(), cells.numpy(), squashed.numpy(), hidden.numpy()
        before = np.zeros((B, H), np.float32)
        back = w_back.t().contiguous()
        for t in range(T):
            if t:
                gates[t].addmm_(hidden[t - 1], back)
            step_forward(raw[t], before, c[t], s[t], h[t])
            before = c[t]
        ctx.save_for_backward(x, w_in, w_back, gates, cells, squashed, hidden)
        return hidden

    @staticmethod
    def backward(ctx: Any, d_out: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, w_in, w_back, gates, cells, squashed, hidden = ctx.saved_tensors
        T, B, H = hidden.shape
        d_gates = torch.empty_like(gates)
        raw, c, s, d_raw = gates.numpy(), cells.numpy(), squashed.numpy(), d_gates.numpy()
        d_hidden = d_out.contiguous().clone()
        d_h = d_hidden.numpy()
        d_cells, zero = np.zeros((B, H), np.float32), np.zeros((B, H), np.float32)
        for t in range(T - 1, -1, -1):
            if t < T - 1:
                d_hidden[t].addmm_(d_gates[t + 1], w_back)
            step_backward(raw[t], c[t - 1] if t else zero, s[t], d_h[t], d_cells, d_raw[t])
        wide = d_gates.view(T * B, 4 * H)
        d_back = d_gates[1:].reshape(-1, 4 * H).t() @ hidden[:-1].reshape(-1, H)
        d_x = (wide @ w_in).view(x.shape) if ctx.needs_input_grad[0] else None
        return d_x, wide.t() @ x.reshape(T * B, -1), d_back, wide.sum(0)


class DeepARNetwork(nn.Module):
    """Inputs and categories to the parameters of a likelihood, step by step.

    Args:
        width: inputs a step, without categories.
        cardinality: how many values each category has; one more stands for those never seen.
        embedding, cells, layers, dropout, likelihood: as `DeepAR` has them.
        scales: what is taken from each input, and what it is multiplied by then, (2, width); None leaves them
            as they are.
    """

    def __init__(
        self, width: int, cardinality: tuple[int, ...], embedding: int, cells: int, layers: int,
        dropout: float, likelihood: str, scales: NDArray[np.float64] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.cells, self.dropout, self.likelihood = cells, dropout, likelihood
        given = np.stack([np.zeros(width), np.ones(width)]) if scales is None else scales
        self.shift, self.factor = (torch.from_numpy(each.astype(np.float32)) for each in given)
        self.embeddings = nn.ParameterList(
            nn.Parameter(torch.randn(count + 1, embedding) * 0.1) for count in cardinality
        )
        size = width + embedding * len(cardinality)
        self.input_weights, self.back_weights, self.biases = (nn.ParameterList() for _ in range(3))
        bound = 1 / math.sqrt(cells)
        for _ in range(layers):
            self.input_weights.append(nn.Parameter(torch.empty(4 * cells, size).uniform_(-bound, bound)))
            self.back_weights.append(nn.Parameter(torch.empty(4 * cells, cells).uniform_(-bound, bound)))
            bias = torch.empty(4 * cells).uniform_(-bound, bound)
            bias[cells : 2 * cells] += 1
            self.biases.append(nn.Parameter(bias))
            size = cells
        self.head = nn.Linear(cells, PARAMETERS_OF[likelihood])

    def forward(
        self, inputs: torch.Tensor, categories: torch.Tensor, chance: torch.Generator | None = None
    ) -> torch.Tensor:
        """The head's outputs (T, B, P) of inputs (T, B, width) and categories (B, C).

        Dropout, if `chance` is given, is drawn from it.
        """
        T, inputs = len(inputs), (inputs - self.shift) * self.factor
        static = [table[categories[:, number]] for number, table in enumerate(self.embeddings)]
        x = (
            torch.cat([inputs, *(each.expand(T, *each.shape) for each in static)], dim=2)
            if static
            else inputs
        )
        for number, (w_in, w_back, bias) in enumerate(
            zip(self.input_weights, self.back_weights, self.biases, strict=True)
        ):
            if number and chance is not None and self.dropout:
                kept = torch.empty_like(x).bernoulli_(1 - self.dropout, generator=chance)
                x = x * kept.mul_(1 / (1 - self.dropout))
            x = _Recurrence.apply(x, w_in, w_back, bias)  # type: ignore[no-untyped-call]
        found: torch.Tensor = self.head(x)
        return found

    def plain(self) -> dict[str, NDArray[np.float32]]:
        """The parameters as arrays under the names that the model's files use, for inputs as they are."""
        found = {f"embedding{n}": each for n, each in enumerate(self.embeddings)}
        for n, parts in enumerate(zip(self.input_weights, self.back_weights, self.biases, strict=True)):
            for name, each in zip(("input", "recurrent", "bias"), parts, strict=True):
                found[f"lstm{n}_{name}"] = each.t() if each.ndim == 2 else each
        found |= {"head_weights": self.head.weight.t(), "head_bias": self.head.bias}
        width = len(self.shift)
        first = found["lstm0_input"][:width] * self.factor[:, None]
        found["lstm0_input"] = torch.cat([first, found["lstm0_input"][width:]])
        found["lstm0_bias"] = found["lstm0_bias"] - self.shift @ first
        return {name: np.ascontiguousarray(each.detach().numpy()) for name, each in found.items()}


def losses(likelihood: str, raw: torch.Tensor, target: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Negative log likelihoods (T, B) of targets (T, B) given the head's outputs (T, B, P) and scales (B,).

    Of `deterministic_l1` the absolute errors, divided by the scales. Section 3.2 for `gaussian` and
    `negative_binomial`.
    """
    z = target / scale
    if likelihood == "deterministic_l1":
        return (z - raw[..., 0]).abs()
    if likelihood == "gaussian":
        deviation = functional.softplus(raw[..., 1]) + EDGE
        return torch.log(deviation * scale) + 0.5 * (
            math.log(2 * math.pi) + ((z - raw[..., 0]) / deviation).square()
        )
    if likelihood == "student_t":
        freedom, deviation = 2 + functional.softplus(raw[..., 2]), functional.softplus(raw[..., 1]) + EDGE
        share = ((z - raw[..., 0]) / deviation).square() / freedom
        return (
            torch.log(deviation * scale) + 0.5 * torch.log(freedom * math.pi) + torch.lgamma(freedom / 2)
            - torch.lgamma((freedom + 1) / 2) + (freedom + 1) / 2 * torch.log1p(share)
        )  # fmt: skip
    if likelihood == "negative_binomial":
        mean = (functional.softplus(raw[..., 0]) + EDGE) * scale
        shape = (functional.softplus(raw[..., 1]) + EDGE) / scale.sqrt()
        r = 1 / shape
        return (
            torch.lgamma(r) + torch.lgamma(target + 1) - torch.lgamma(target + r)
            + r * torch.log1p(shape * mean) - target * (torch.log(shape * mean) - torch.log1p(shape * mean))
        )  # fmt: skip
    a, b = (functional.softplus(raw[..., k]) + EDGE for k in (0, 1))
    y = target.clamp(EDGE, 1 - EDGE)
    return (
        torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b) - (a - 1) * y.log() - (b - 1) * (-y).log1p()
    )
