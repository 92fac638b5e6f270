"""Ernest as an advisor: a few designed runs of each kind of machine, a model of each, the best of all sizes.

Venkataraman and others, "Ernest: efficient performance prediction for large-scale advanced analytics" (NSDI
2016): `T = a + b/m + c log m + d m` by machine type, from runs that an optimal design chooses
(`estimates.scale_out`). Here m is cores in all, a kind is what has the same words and memory for a core, and
only whole inputs are run. Other workloads are not looked at. Where runs failed, or a speed-up was more than
linear, memory was crossed: sizes with less memory are not believed in, and those with less than was seen to
do are doubted.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from tradewind.advice.configuration.affordable import affordable
from tradewind.advice.configuration.interface import AdvisingView, Array, Prediction, Probe, Stop
from tradewind.advice.configuration.one_shot import believed, measured_logs
from tradewind.advice.configuration.plain_outlook import outlook
from tradewind.advice.configuration.space import MACHINES, MEMORY, VCPUS, ConfigurationSpace
from tradewind.estimates.scale_out.ernest import columns, ernest
from tradewind.estimates.scale_out.experiment_design import designed
from tradewind.estimates.scale_out.memory_guard import BEYOND, WITHIN, memory_guard
from tradewind.estimates.scale_out.timings import Timings

_BELIEF = {WITHIN: 0.95, BEYOND: 0.8}
"""Probability that a run ends whole where memory is as was seen to do, or less."""
_CROSSED, _UNKNOWN = 0.2, 0.4
"""The same of what crosses memory, and of a kind of machine that was not run at all."""
_SPREAD = 0.2
"""Standard deviation of the logarithm of run time beside what a fit is off by: Ernest's own is below 20 %."""


class Ernest(Struct, frozen=True):
    """Three designed runs of each of three kinds of machine, then a forecast of every size of these."""

    runs_each: int = 3
    kinds: int = 3

    @property
    def recommends_unmeasured(self) -> bool:
        """It runs what its design says, which is not what is best."""
        return True

    def next(self, view: AdvisingView) -> Probe | Stop:
        """The next run of the design; where one failed, the next larger size of its kind."""
        space = view.space
        cores = _cores(space)
        groups = _kinds(space)[: self.kinds]
        open_ = affordable(view, outlook(view) if view.budget is None else self.predict(view))
        if isinstance(open_, Stop):
            return open_
        failed = {run.configuration for run in view.runs if not run.whole}
        for turn in range(self.runs_each):
            for group in groups:
                mine = group[~np.isin(group, list(failed))]
                least = max((cores[number] for number in group if number in failed), default=0.0)
                mine = mine[cores[mine] > least]
                tried = [number for number in mine if number in view.probed]
                left = [number for number in mine if number in open_]
                if (
                    not left
                    or len(tried) > turn
                    or len(np.intersect1d(group, list(view.probed))) > self.runs_each
                ):
                    continue
                design = designed(columns(cores[mine]), np.ones(len(mine)), min(self.runs_each, len(mine)))
                wanted = [int(mine[each]) for each in design]
                number = next((each for each in wanted if each in left), left[0])
                return Probe(int(number), f"run {len(tried) + 1} of {self.runs_each} of its kind, by design")
        return Stop(f"{len(view.runs)} runs were made, as the design has it; other sizes are foretold.")

    def predict(self, view: AdvisingView) -> Prediction:
        """Ernest's model of each kind that was run on two sizes; elsewhere the mean, and no trust in it."""
        plain = outlook(view)
        own, cores = measured_logs(view), _cores(view.space)
        logs, spread = np.log(plain.seconds), np.full(len(own), 1.0)
        ends = np.full(len(own), _UNKNOWN)
        failed = [run.configuration for run in view.runs if not run.whole]
        for group in _kinds(view.space):
            here = group[np.isfinite(own[group])]
            if len(np.unique(cores[here])) < 2:
                continue
            timings = Timings.of(cores[here], np.exp(own[here]))
            guard = memory_guard(timings, tuple(1 / cores[number] for number in failed if number in group))
            model = ernest(timings)
            logs[group] = np.log(model.predict(cores[group]))
            wrong = float(np.sqrt(np.mean((logs[here] - own[here]) ** 2)))
            spread[group] = np.hypot(wrong, _SPREAD)
            ends[group] = [_BELIEF.get(guard.verdict(1 / cores[number]), _CROSSED) for number in group]
        if not np.isfinite(own).any():
            return plain
        told = believed(view, logs, spread, ends)
        return replace(told, feasible=np.clip(told.feasible, 0.0, 1.0))


def _cores(space: ConfigurationSpace) -> Array:
    """(n,) cores in all; machines where cores are not told, the price where neither is."""
    machines, vcpus = space.column(MACHINES), space.column(VCPUS)
    if machines is None:
        return space.per_hour
    return machines if vcpus is None else machines * vcpus


def _kinds(space: ConfigurationSpace) -> list[NDArray[np.int64]]:
    """Configurations by kind of machine, the kind with most sizes first, then the cheapest by the core."""
    memory, vcpus = space.column(MEMORY), space.column(VCPUS)
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, each in enumerate(space.configurations):
        words = tuple(value for value in each.features.values() if isinstance(value, str))
        share = round(memory[number] / vcpus[number], 1) if memory is not None and vcpus is not None else 0.0
        groups.setdefault((*words, share), []).append(number)
    cores = _cores(space)
    price = space.per_hour / cores
    found = [np.array(group) for group in groups.values()]
    return sorted(
        found,
        key=lambda group: (-len(np.unique(cores[group])), float(np.median(price[group])), int(group[0])),
    )
