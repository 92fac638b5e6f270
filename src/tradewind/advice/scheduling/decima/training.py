"""Decima's network trained by policy gradient in our own simulation; needs the extra `deep`.

Mao et al., SIGCOMM 2019, section 5.3: runs that share arrival sequences, a baseline that knows the input, and
a curriculum of ever longer streams. The gradient is taken with clipped probability ratios over a few passes
(Schulman et al., "Proximal policy optimization algorithms", arXiv 1707.06347), and streams come at various
loads. Training may begin with `imitate`, which the paper does not: the network learns a heuristic's choices,
so that the policy gradient begins where that heuristic is. All chance comes from the seed: on one machine and
version of torch, with one thread, equal arguments give equal weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.advice.scheduling.decima.features import joined
from tradewind.advice.scheduling.decima.network import (
    HEADS,
    LAYERS,
    SLOPE,
    SUM,
    WIDTH,
    Network,
    first_weights,
)
from tradewind.advice.scheduling.decima.returns import advantages
from tradewind.advice.scheduling.decima.rollouts import Episode, play
from tradewind.advice.scheduling.interface import Scheduler
from tradewind.advice.scheduling.shapes import interval_for, tpch_shaped
from tradewind.advice.scheduling.simulation import Cluster, Simulation
from tradewind.errors import MissingExtra

try:
    import torch
    from torch import Tensor, nn
except ImportError:
    raise MissingExtra("torch", "deep", "training Decima") from None


class Lesson(Struct, frozen=True):
    """How to train."""

    cluster: Cluster = Cluster(10)
    jobs: int = 20
    """Of a stream, once the curriculum is over."""
    first_jobs: int = 12
    """Of a stream in the first iteration."""
    growth: float = 0.08
    """Jobs more by iteration."""
    loads: tuple[float, float] = (0.6, 1.0)
    """Streams' loads are drawn between these."""
    sequences: int = 3
    """Arrival sequences by iteration."""
    runs: int = 6
    """That share each."""
    horizon: float = 1000.0
    """Seconds in which a cost to come fades to 1/e."""
    memory: float = 400.0
    """Seconds in which what follows a decision stops to be put down to it."""
    passes: int = 6
    parts: int = 6
    """Steps of each pass, each on whole runs."""
    rate: float = 1.5e-3
    """Of Adam, falling to a tenth over `iterations`."""
    imitation_rate: float = 3e-3
    """Of Adam while a teacher is imitated."""
    iterations: int = 300
    clip: float = 0.2
    averaging: float = 0.9
    """Share that the averaged weights keep of themselves in each iteration."""
    entropy: float = 0.003
    """Weight of the entropy in the first iteration, falling to a hundredth of it over `iterations`."""
    seed: int = 0


class Report(Struct, frozen=True):
    """What an iteration came to."""

    iteration: int
    average: float
    """Mean job completion time of the runs, seconds; drawn choices."""
    decisions: int
    entropy: float
    moved: float
    """Mean difference of the logarithms of new and old probabilities, in absolute value."""


class DecimaModule(nn.Module):
    """The network of `network.Network` in torch, with the same names of weights."""

    def __init__(self) -> None:
        super().__init__()
        for name, widths in LAYERS.items():
            pairs = pairwise(widths)
            setattr(self, name, nn.ModuleList(nn.Linear(wide, narrow) for wide, narrow in pairs))

    def through(self, name: str, x: Tensor) -> Tensor:
        """One of the small networks."""
        layers = list(getattr(self, name))
        for at, layer in enumerate(layers):
            x = layer(x)
            if at < len(layers) - 1 or name not in HEADS:
                x = nn.functional.leaky_relu(x, SLOPE)
        return x

    def log_probabilities(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(decisions,) logarithms of the probability of what was drawn, and entropies."""
        x = torch.from_numpy(batch.x)
        prepared = self.through("prepare", x)
        levels = batch.levels
        parts = [prepared[: levels[1]]]
        for height, edges in enumerate(batch.edges, 1):
            begin, end = levels[height], levels[height + 1]
            so_far = torch.cat(parts) if len(parts) > 1 else parts[0]
            sent = self.through("send", so_far[torch.from_numpy(edges[:, 0])])
            heard = sent.new_zeros(end - begin, WIDTH).index_add(
                0, torch.from_numpy(edges[:, 1] - begin), sent
            )
            parts.append(prepared[begin:end] + self.through("receive", heard))
        stage = torch.cat((x, torch.cat(parts)), dim=1)
        whose = torch.from_numpy(batch.job)
        job = stage.new_zeros(batch.graphs, WIDTH).index_add(0, whose, self.through("job", stage)) * SUM
        share = self.through("cluster", job)
        at_hand = share[torch.from_numpy(batch.hand_graph)]
        z = share.new_zeros(batch.decisions, WIDTH).index_add(
            0, torch.from_numpy(batch.hand_decision), at_hand
        )
        z = z * SUM
        row, decision = torch.from_numpy(batch.candidate_row), torch.from_numpy(batch.candidate_decision)
        seen = torch.cat((stage[row], job[whose[row]], z[decision]), dim=1)
        scores = self.through("stage_head", torch.cat((seen, torch.from_numpy(batch.options)), dim=1))
        chosen, entropy = _of_groups(scores[:, 0], decision, torch.from_numpy(batch.chosen), batch.decisions)
        of_limit = torch.from_numpy(batch.limit_decision)
        picked = seen[torch.from_numpy(batch.chosen)][of_limit]
        scores = self.through("limit_head", torch.cat((picked, torch.from_numpy(batch.limits)), dim=1))
        limited, more = _of_groups(
            scores[:, 0], of_limit, torch.from_numpy(batch.limit_chosen), batch.decisions
        )
        return chosen + limited, entropy + more


class Batch(Struct, frozen=True, eq=False):
    """Decisions of several runs in tables; `row` numbers stages, `graph` jobs in a state."""

    x: NDArray[np.float32]
    job: NDArray[np.int64]
    levels: tuple[int, ...]
    edges: tuple[NDArray[np.int64], ...]
    graphs: int
    decisions: int
    hand_graph: NDArray[np.int64]
    """The jobs at hand, and the decision at which they were."""
    hand_decision: NDArray[np.int64]
    candidate_row: NDArray[np.int64]
    """The runnable stages, and the decision at which they were."""
    candidate_decision: NDArray[np.int64]
    options: NDArray[np.float32]
    chosen: NDArray[np.int64]
    """(decisions,) which candidate."""
    limit_decision: NDArray[np.int64]
    limits: NDArray[np.float32]
    limit_chosen: NDArray[np.int64]
    """(decisions,) which limit."""
    old: NDArray[np.float32]
    """(decisions,) logarithms of probability when drawn."""
    advantage: NDArray[np.float32]


def batch_of(episodes: Sequence[Episode], advantage: Sequence[NDArray[np.float64]]) -> Batch:
    """The runs' decisions in tables."""
    table = joined([graph for each in episodes for graph in each.graphs])
    sizes = [len(each.graphs) for each in episodes]
    begins = np.cumsum(sizes) - sizes
    hand, rows, options, chosen, limits, limit_chosen, old = [], [], [], [], [], [], []
    candidates = widths = 0
    for episode, begin in zip(episodes, begins.tolist(), strict=True):
        for taken in episode.taken:
            graphs = [begin + each for each in taken.jobs]
            hand.append(graphs)
            rows.append(np.concatenate([table.runnable[each] for each in graphs]))
            options.append(taken.options)
            chosen.append(candidates + taken.chosen)
            candidates += len(taken.options)
            limits.append(taken.limits)
            limit_chosen.append(widths + taken.limit)
            widths += len(taken.limits)
            old.append(taken.log_probability)
    every = np.arange(len(hand))
    return Batch(
        table.x,
        table.job,
        table.levels,
        table.edges,
        len(table.runnable),
        len(hand),
        np.concatenate([np.array(each) for each in hand]),
        np.repeat(every, [len(each) for each in hand]),
        np.concatenate(rows),
        np.repeat(every, [len(each) for each in rows]),
        np.concatenate(options),
        np.array(chosen),
        np.repeat(every, [len(each) for each in limits]),
        np.concatenate(limits),
        np.array(limit_chosen),
        np.array(old, np.float32),
        np.concatenate(advantage).astype(np.float32),
    )


def _of_groups(scores: Tensor, group: Tensor, chosen: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """(groups,) log-softmax of the chosen score in its group, and each group's entropy."""
    top = scores.detach().new_full((groups,), -torch.inf).scatter_reduce(0, group, scores.detach(), "amax")
    shifted = scores - top[group]
    whole = scores.new_zeros(groups).index_add(0, group, shifted.exp())
    logs = shifted - whole.log()[group]
    entropy = scores.new_zeros(groups).index_add(0, group, -(logs.exp() * logs))
    return logs[chosen], entropy


class Training:
    """Training step by step: `step` plays runs and learns from them; `weights` are what was learned.

    Averages of the weights of noisy steps (Polyak and Juditsky, "Acceleration of stochastic approximation by
    averaging", SIAM Journal on Control and Optimization 30(4), 1992) are in `averaged`.
    """

    def __init__(
        self, lesson: Lesson, begin: Mapping[str, NDArray[np.float32]] | None = None, iteration: int = 0
    ) -> None:
        self.lesson, self.iteration = lesson, iteration
        self._module = DecimaModule()
        given = first_weights(lesson.seed) if begin is None else begin
        self._module.load_state_dict(
            {name: torch.from_numpy(np.array(each, np.float32)) for name, each in given.items()}
        )
        self.averaged = self.weights
        """The weights of the last iterations, averaged: steadier than the newest, and what is to be used."""
        self._adam = torch.optim.Adam(self._module.parameters(), lr=lesson.rate, eps=1e-5)

    @property
    def weights(self) -> dict[str, NDArray[np.float32]]:
        """By name, as `network.Network` takes them."""
        return {name: each.numpy().copy() for name, each in self._module.state_dict().items()}

    def _streams(self) -> list[Simulation]:
        """The runs of this iteration, those of one sequence one after the other."""
        lesson = self.lesson
        jobs = min(lesson.jobs, int(lesson.first_jobs + lesson.growth * self.iteration))
        runs: list[Simulation] = []
        for sequence in range(lesson.sequences):
            seed = [lesson.seed, 0x57, self.iteration, sequence]
            rng = np.random.default_rng(seed)
            load, number = rng.uniform(*lesson.loads), int(rng.integers(2**31, 2**32))
            interval = interval_for(load, lesson.cluster.executors)
            stream = tpch_shaped(jobs, interval=interval, seed=number)
            runs.extend(Simulation(stream, lesson.cluster, number) for _ in range(lesson.runs))
        return runs

    def step(self) -> Report:
        """One iteration."""
        lesson = self.lesson
        part = min(1.0, self.iteration / lesson.iterations)
        rng = np.random.default_rng([lesson.seed, 0xD1A, self.iteration])
        episodes = play(Network(self.weights), self._streams(), rng)
        worth: list[NDArray[np.float64]] = []
        for begin in range(0, len(episodes), lesson.runs):
            worth += advantages(
                [_for_returns(each) for each in episodes[begin : begin + lesson.runs]],
                lesson.horizon, lesson.memory,
            )  # fmt: skip
        spread = float(np.concatenate(worth).std()) or 1.0
        worth = [each / spread for each in worth]
        for group in self._adam.param_groups:
            group["lr"] = lesson.rate * 0.1**part
        # A part holds runs of every sequence where it can, so that none pulls alone.
        batches = [
            batch_of(episodes[each :: lesson.parts], worth[each :: lesson.parts])
            for each in range(lesson.parts)
        ]
        weight = lesson.entropy * 0.01**part
        entropy = moved = 0.0
        for _ in range(lesson.passes):
            entropy = moved = 0.0
            for batch in batches:
                one, two = self._learn(batch, weight)
                entropy, moved = entropy + one / len(batches), moved + two / len(batches)
        self.iteration += 1
        kept = lesson.averaging
        for name, each in self.weights.items():
            self.averaged[name] = (kept * self.averaged[name] + (1 - kept) * each).astype(np.float32)
        times = [each.simulation.job_seconds / len(each.simulation.jobs) for each in episodes]
        decisions = sum(each.decisions for each in episodes)
        return Report(self.iteration, float(np.mean(times)), decisions, entropy, moved)

    def imitate(self, teacher: Scheduler) -> float:
        """One iteration in which the teacher decides and the network learns what it would choose.

        Returns the mean likelihood of the teacher's choices, geometric, before the last step. The teacher
        must leave no executor idle.
        """
        rng = np.random.default_rng([self.lesson.seed, 0x7EAC, self.iteration])
        episodes = play(Network(self.weights), self._streams(), rng, teacher)
        none = [np.zeros(len(each.taken)) for each in episodes]
        batches = [
            batch_of(episodes[each :: self.lesson.parts], none[each :: self.lesson.parts])
            for each in range(self.lesson.parts)
        ]
        for group in self._adam.param_groups:
            group["lr"] = self.lesson.imitation_rate
        likely = 0.0
        for _ in range(self.lesson.passes):
            for batch in batches:
                logs, _ = self._module.log_probabilities(batch)
                self._adam.zero_grad()
                (-logs.mean()).backward()  # type: ignore[no-untyped-call]
                self._adam.step()
                likely = float(logs.detach().mean().exp())
        self.iteration += 1
        self.averaged = self.weights
        return likely

    def _learn(self, batch: Batch, weight: float) -> tuple[float, float]:
        """One step of Adam."""
        logs, entropy = self._module.log_probabilities(batch)
        old, worth = torch.from_numpy(batch.old), torch.from_numpy(batch.advantage)
        ratio = (logs - old).exp()
        clipped = ratio.clamp(1 - self.lesson.clip, 1 + self.lesson.clip)
        loss = -torch.minimum(ratio * worth, clipped * worth).mean() - weight * entropy.mean()
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._module.parameters(), 0.5)
        self._adam.step()
        return float(entropy.detach().mean()), float((logs.detach() - old).abs().mean())


def _for_returns(
    episode: Episode,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    board = episode.simulation.board
    return (
        board.arrival,
        board.over,
        np.array([each.moment for each in episode.taken]),
        np.array([each.crowd for each in episode.taken]),
    )
