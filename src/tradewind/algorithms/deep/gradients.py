"""Networks that learn through a state: the parameters are one table, and what is pushed is a gradient.

So a network trains over any number of workers, in every consistency mode, and goes on after a revocation,
as a linear model does: the optimiser's moments live beside the table, at the server. Synchronized, what a
clock's workers push is summed, so the step of `sgd` grows with their number as the batch does (the linear
scaling rule: Goyal et al., arXiv:1706.02677, section 2.1); the other optimizers divide the scale out again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.chance import chance_of
from tradewind.algorithms.deep.seeded import seeded
from tradewind.algorithms.estimator import StreamEstimator
from tradewind.algorithms.interface import PROGRESS, Model, State
from tradewind.errors import Misuse, suggestion

PARAMETERS, FACT = "parameters", "fact/"
"""The table of all parameters one after the other, (n,) float32; and before the names of facts' tables."""

FROZEN, BUFFERS, COUNTERS = "frozen", "buffers", "counters"
"""Tables of what a network may have beside: parameters that do not learn, (n,) float32; buffers of floating
point such as running means, (n,) float64, which take in the mean of the workers' changes; and whole or true
and false buffers, (n,) int64, of which the largest stands. A table that would be empty is not there."""

_SEED = 2**63

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
    draws: ClassVar[bool] = True
    """Whether a network may draw numbers by itself, not only from the generator that `loss` is given."""
    _parameter_constraints: ClassVar[dict[str, Any]] = {}

    def facts(self, sample: Batch) -> dict[str, NDArray[Any]]:
        """What must be remembered of the first rows to build the network anew; float32, float64 or int64."""
        raise NotImplementedError

    def network(self, facts: Facts) -> nn.Module:
        """The network, with its first parameters; what torch draws for it here is seeded."""
        raise NotImplementedError

    def loss(
        self, network: nn.Module, batch: Batch, facts: Facts, chance: torch.Generator, seen: float
    ) -> tuple[torch.Tensor, float]:
        """The sum of a batch's losses and the weight it is to be divided by; `seen` is the weight so far."""
        raise NotImplementedError

    def model(self, network: nn.Module, facts: Facts, **config: Any) -> Model:
        """What was learned, of the finished network; Misuse for a `config` that is not known."""
        raise NotImplementedError

    def usual_rate(self) -> float | None:
        """The rate where none is given; None is the optimizer's own."""
        return None

    def initialize(self, state: State, sample: Batch) -> None:
        """Register the parameters and the facts."""
        self.check()
        if not len(sample):
            raise Misuse("there is no row to begin with", source="initialize", fix="Give at least one row.")
        facts = self.facts(sample)
        for name, value in facts.items():
            state.initialize(FACT + name, value)
        network = self._fresh(facts)
        rate = self.usual_rate() if self.rate is None else self.rate
        options = {} if rate is None else {"rate": float(rate)}
        state.initialize(PARAMETERS, flat(network), aggregate=self.optimizer, **options)
        for key, tensors in kept(network).items():
            state.initialize(key, _joined(key, tensors), aggregate="max" if key == COUNTERS else "add")
        state.initialize(PROGRESS, np.zeros(2))

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        """A pull of all parameters, a gradient and a push of it a batch; buffers too, where there are any."""
        facts = self._recalled(state)
        network = self._fresh(facts)
        network.train()
        beside = kept(network)
        frozen = beside.pop(FROZEN, None)
        if frozen:
            _give(FROZEN, frozen, state.pull(FROZEN))
        with _threads(1 if synchronized else None):  # sums in one order, for equal bits
            for batch in stream:
                load(network, state.pull(PARAMETERS))
                before = {key: np.array(state.pull(key)) for key in beside}
                for key, values in before.items():
                    _give(key, beside[key], values)
                seen = float(state.pull(PROGRESS)[1])
                total, weight = self._gradient(network, batch, facts, state, seen)
                state.push(PARAMETERS, flat_gradient(network))
                for key, values in before.items():
                    after = _joined(key, beside[key])
                    state.push(key, after if key == COUNTERS else (after - values) / state.workers)
                state.push(PROGRESS, np.array([total, weight]))
                if synchronized:
                    state.barrier()

    def _gradient(
        self, network: nn.Module, batch: Batch, facts: Facts, state: State, seen: float
    ) -> tuple[float, float]:
        """Leave the gradient of a batch's mean loss in the parameters; the sum of losses and its weight."""
        number = int(chance_of(self.seed, state).integers(_SEED))
        chance = torch.Generator().manual_seed(number)
        parameters = [each for each in network.parameters() if each.requires_grad]
        with seeded(number) if self.draws else contextlib.nullcontext():
            total, weight = self.loss_of(network, batch, facts, chance, seen)
        mean = total / max(weight, 1e-12)
        if not bool(torch.isfinite(mean)):
            raise Misuse(
                "the loss is no longer finite", source="update", field="rate",
                fix="Give a smaller rate, or a clip, and look for huge values in the rows.",
            )  # fmt: skip
        network.zero_grad(set_to_none=True)
        if mean.requires_grad:
            mean.backward()  # type: ignore[no-untyped-call]
        if self.weight_decay:
            for each in parameters:
                if each.grad is not None:
                    each.grad.add_(each.detach(), alpha=self.weight_decay)
        if self.clip is not None:
            nn.utils.clip_grad_norm_(parameters, self.clip)
        return float(total.detach()), weight

    def finalize(self, state: State, **config: Any) -> Model:
        """The model; `config` as `model` takes it."""
        facts = self._recalled(state)
        network = self._fresh(facts)
        load(network, state.pull(PARAMETERS))
        for key, tensors in kept(network).items():
            _give(key, tensors, state.pull(key))
        network.eval()
        return self.model(network, facts, **config)

    def fact_names(self) -> tuple[str, ...]:
        """The names of what `facts` gives."""
        raise NotImplementedError

    def _recalled(self, state: State) -> dict[str, NDArray[Any]]:
        return {name: np.array(state.pull(FACT + name)) for name in self.fact_names()}

    def _fresh(self, facts: Facts) -> nn.Module:
        with seeded(self.seed):
            return self.network_of(facts)

    # a subclass whose constructor has arguments called `network` and `loss` overrides these instead

    def network_of(self, facts: Facts) -> nn.Module:
        """What `network` gives."""
        return self.network(facts)

    def loss_of(
        self, network: nn.Module, batch: Batch, facts: Facts, chance: torch.Generator, seen: float
    ) -> tuple[torch.Tensor, float]:
        """What `loss` gives."""
        return self.loss(network, batch, facts, chance, seen)


def kept(network: nn.Module) -> dict[str, list[torch.Tensor]]:
    """What a network has beside its trainable parameters, by the table that holds it, in a fixed order."""
    names = set(network.state_dict(keep_vars=True))
    buffers = [each for name, each in network.named_buffers() if name in names]
    found: dict[str, list[torch.Tensor]] = {
        FROZEN: [each for each in network.parameters() if not each.requires_grad],
        BUFFERS: [each for each in buffers if each.is_floating_point()],
        COUNTERS: [each for each in buffers if not each.is_floating_point()],
    }
    return {key: tensors for key, tensors in found.items() if sum(each.numel() for each in tensors)}


_NARROW = (torch.float32, torch.float16, torch.bfloat16)
"""What float32 holds."""
_DTYPES: dict[str, Any] = {FROZEN: np.float32, BUFFERS: np.float64, COUNTERS: np.int64}


def _joined(key: str, tensors: list[torch.Tensor]) -> NDArray[Any]:
    for each in tensors:
        if each.is_complex() or (key == FROZEN and each.dtype not in _NARROW):
            raise _strange(each.dtype)
    wide = torch.int64 if key == COUNTERS else torch.float64
    return np.concatenate([_plain(each.to(wide)).astype(_DTYPES[key]) for each in tensors])


def _give(key: str, tensors: list[torch.Tensor], values: NDArray[Any]) -> None:
    """Set tensors to what `_joined` would give back."""
    if sum(each.numel() for each in tensors) != len(values):
        raise Misuse(
            f"the state holds {len(values)} values, the network has others", source="state", field=key,
            fix="Go on with the settings that the job began with.",
        )  # fmt: skip
    source, at = torch.from_numpy(np.array(values)), 0
    with torch.no_grad():
        for each in tensors:
            each.copy_(source[at : at + each.numel()].view_as(each))
            at += each.numel()


def _plain(tensor: torch.Tensor) -> NDArray[Any]:
    found: NDArray[Any] = tensor.detach().reshape(-1).numpy()
    return found


def _strange(dtype: torch.dtype) -> Misuse:
    return Misuse(
        f"the network has parameters of {str(dtype).removeprefix('torch.')}", source="network",
        field="parameters", fix="Make them float32: .float() at the end of the constructor.",
    )  # fmt: skip


def flat(network: nn.Module) -> NDArray[np.float32]:
    """All trainable parameters of a network one after the other, (n,); Misuse unless they are float32."""
    found = [each for each in network.parameters() if each.requires_grad]
    for each in found:
        if each.dtype != torch.float32:
            raise _strange(each.dtype)
    return np.concatenate([_plain(each) for each in found]) if found else np.zeros(0, np.float32)


def flat_gradient(network: nn.Module) -> NDArray[np.float32]:
    """Their gradients in the same order; zero where there is none."""
    parts = [
        _plain(torch.zeros_like(each) if each.grad is None else each.grad.to_dense())
        for each in network.parameters()
        if each.requires_grad
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def load(network: nn.Module, values: NDArray[Any]) -> None:
    """Give a network the parameters that `flat` would give back; Misuse for as many as it has not."""
    found = [each for each in network.parameters() if each.requires_grad]
    count = sum(each.numel() for each in found)
    if count != len(values):
        raise Misuse(
            f"the state holds {len(values)} parameters, the network has {count}", source="state",
            field="parameters", fix="Go on with the settings that the job began with.",
        )  # fmt: skip
    source, at = torch.from_numpy(np.array(values, np.float32)), 0
    with torch.no_grad():
        for each in found:
            each.copy_(source[at : at + each.numel()].view_as(each))
            at += each.numel()


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
