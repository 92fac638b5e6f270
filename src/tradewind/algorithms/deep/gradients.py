"""Networks that learn through a state: the parameters are one table, and what is pushed is a gradient.

So a network trains over any number of workers, in every consistency mode, and goes on after a revocation,
as a linear model does: the optimiser's moments live beside the table, at the server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.chance import chance_of
from tradewind.algorithms.estimator import StreamEstimator
from tradewind.algorithms.interface import PROGRESS, Model, State
from tradewind.errors import Misuse, suggestion

PARAMETERS, FACT = "parameters", "fact/"
"""The table of all parameters one after the other, (n,) float32; and before the names of facts' tables."""

OPTIMIZERS = ("adam", "adadelta", "adagrad", "rmsprop", "sgd")
"""How the state takes gradients in, as `aggregation` knows them."""

Facts = Mapping[str, NDArray[Any]]


class GradientLearner(StreamEstimator):
    """A learner of networks. A subclass says what network, what loss, and what the model is.

    Its constructor has the arguments `optimizer`, `rate` (None is the optimizer's usual one), `clip` (the
    most that a gradient's norm may be, None for any), `weight_decay`, `batch_size`, `epochs` and `seed`.
    """

    optimizer: str
    rate: float | None
    clip: float | None
    weight_decay: float
    seed: int
    _parameter_constraints: ClassVar[dict[str, Any]] = {}

    def facts(self, sample: Batch) -> dict[str, NDArray[Any]]:
        """What must be remembered of the first rows to build the network anew; float32, float64 or int64."""
        raise NotImplementedError

    def network(self, facts: Facts) -> nn.Module:
        """The network, with its first parameters; torch's own generator is seeded before."""
        raise NotImplementedError

    def loss(
        self, network: nn.Module, batch: Batch, facts: Facts, chance: torch.Generator, seen: float
    ) -> tuple[torch.Tensor, float]:
        """The sum of a batch's losses and the weight it is to be divided by; `seen` is the weight so far."""
        raise NotImplementedError

    def model(self, network: nn.Module, facts: Facts, **config: Any) -> Model:
        """What was learned, of the finished network; Misuse for a `config` that is not known."""
        raise NotImplementedError

    def initialize(self, state: State, sample: Batch) -> None:
        """Register the parameters and the facts."""
        self.check()
        if not len(sample):
            raise Misuse("there is no row to begin with", source="initialize", fix="Give at least one row.")
        facts = self.facts(sample)
        for name, value in facts.items():
            state.initialize(FACT + name, value)
        network = self._fresh(facts)
        options = {} if self.rate is None else {"rate": float(self.rate)}
        state.initialize(PARAMETERS, flat(network), aggregate=self.optimizer, **options)
        state.initialize(PROGRESS, np.zeros(2))

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        """A pull of all parameters, a gradient, and a push of it a batch."""
        facts = self._recalled(state)
        network = self._fresh(facts)
        network.train()
        parameters = [each for each in network.parameters() if each.requires_grad]
        with _threads(1 if synchronized else None):  # sums in one order, for equal bits
            for batch in stream:
                load(network, state.pull(PARAMETERS))
                seen = float(state.pull(PROGRESS)[1])
                number = int(chance_of(self.seed, state).integers(2**63))
                chance = torch.Generator().manual_seed(number)
                torch.manual_seed(number)  # for what a network draws by itself, such as its dropout
                total, weight = self.loss(network, batch, facts, chance, seen)
                mean = total / max(weight, 1e-12)
                if not bool(torch.isfinite(mean)):
                    raise Misuse(
                        "the loss is no longer finite", source="update", field="rate",
                        fix="Give a smaller rate, or a clip, and look for huge values in the rows.",
                    )  # fmt: skip
                network.zero_grad(set_to_none=True)
                mean.backward()  # type: ignore[no-untyped-call]
                if self.weight_decay:
                    for each in parameters:
                        if each.grad is not None:
                            each.grad.add_(each.detach(), alpha=self.weight_decay)
                if self.clip is not None:
                    nn.utils.clip_grad_norm_(parameters, self.clip)
                state.push(PARAMETERS, flat_gradient(network))
                state.push(PROGRESS, np.array([float(total.detach()), weight]))
                if synchronized:
                    state.barrier()

    def finalize(self, state: State, **config: Any) -> Model:
        """The model; `config` as `model` takes it."""
        facts = self._recalled(state)
        network = self._fresh(facts)
        load(network, state.pull(PARAMETERS))
        network.eval()
        return self.model(network, facts, **config)

    def fact_names(self) -> tuple[str, ...]:
        """The names of what `facts` gives."""
        raise NotImplementedError

    def _recalled(self, state: State) -> dict[str, NDArray[Any]]:
        return {name: np.array(state.pull(FACT + name)) for name in self.fact_names()}

    def _fresh(self, facts: Facts) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self.network(facts)


def flat(network: nn.Module) -> NDArray[np.float32]:
    """All trainable parameters of a network one after the other, (n,)."""
    parts = [each.detach().reshape(-1).numpy() for each in network.parameters() if each.requires_grad]
    return np.concatenate(parts).astype(np.float32) if parts else np.zeros(0, np.float32)


def flat_gradient(network: nn.Module) -> NDArray[np.float32]:
    """Their gradients in the same order; zero where there is none."""
    parts = [
        (torch.zeros_like(each) if each.grad is None else each.grad).reshape(-1).numpy()
        for each in network.parameters()
        if each.requires_grad
    ]
    return np.concatenate(parts).astype(np.float32, copy=False)


def load(network: nn.Module, values: NDArray[Any]) -> None:
    """Give a network the parameters that `flat` would give back."""
    source = torch.from_numpy(np.array(values, np.float32))
    at = 0
    with torch.no_grad():
        for each in network.parameters():
            if each.requires_grad:
                each.copy_(source[at : at + each.numel()].view_as(each))
                at += each.numel()
    if at != len(source):
        raise Misuse(
            f"the state holds {len(source)} parameters, the network has {at}", source="state",
            field="parameters", fix="Go on with the settings that the job began with.",
        )  # fmt: skip


def check_config(config: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raise Misuse for a word that `finalize` does not take."""
    for name in config:
        if name not in known:
            fix = suggestion(name, known) if known else "It takes none."
            raise Misuse(f"finalize takes no {name!r}", field=name, fix=fix)


class _threads:
    """Torch's threads within, or as they are if None."""

    def __init__(self, count: int | None) -> None:
        self._count = count

    def __enter__(self) -> None:
        self._before = torch.get_num_threads()
        if self._count is not None:
            torch.set_num_threads(self._count)

    def __exit__(self, *_: object) -> None:
        if self._count is not None:
            torch.set_num_threads(self._before)
