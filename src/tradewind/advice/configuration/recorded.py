"""Measured runs as advisors take them: the space that they span, and each workload's runs in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median

from msgspec import Struct

from tradewind.advice.configuration.runs import Corpus, Run
from tradewind.advice.configuration.space import Configuration, ConfigurationSpace
from tradewind.market.measured_runs import MeasuredRun


class Recorded(Struct, frozen=True):
    """Everything that one table tells."""

    space: ConfigurationSpace
    runs: Mapping[str, tuple[Run, ...]]
    """By workload, in the order of the table; repeats follow each other as they came."""
    programs: Mapping[str, str]
    """The program of each workload."""
    inputs: Mapping[str, Mapping[str, float]]
    """What is told of each workload's input."""

    def corpus(self, but_program: str = "") -> Corpus:
        """The runs of every workload whose program is another."""
        return Corpus({name: runs for name, runs in self.runs.items() if self.programs[name] != but_program})

    def one_each(self, workload: str) -> dict[int, Run]:
        """Of each configuration that a workload was run on, the run of median length, whole ones first.

        A configuration counts as failed only where no run of it was whole.
        """
        by_number: dict[int, list[Run]] = {}
        for run in self.runs[workload]:
            by_number.setdefault(run.configuration, []).append(run)
        found = {}
        for number, runs in by_number.items():
            chosen = [run for run in runs if run.whole] or runs
            middle = median(run.seconds for run in chosen)
            found[number] = min(chosen, key=lambda run: abs(run.seconds - middle))
        return found


def recorded(rows: Iterable[MeasuredRun], source: str = "runs") -> Recorded:
    """What a table spans. A configuration's price is the median of those that its rows state."""
    prices: dict[str, list[float]] = {}
    features: dict[str, Mapping[str, float | str]] = {}
    rows = tuple(rows)
    for row in rows:
        prices.setdefault(row.configuration, []).append(row.per_hour)
        features.setdefault(row.configuration, row.features)
    space = ConfigurationSpace(
        tuple(Configuration(name, median(prices[name]), features[name]) for name in prices), source
    )
    runs: dict[str, list[Run]] = {}
    programs: dict[str, str] = {}
    inputs: dict[str, Mapping[str, float]] = {}
    for row in rows:
        number = space.number(row.configuration)
        runs.setdefault(row.workload, []).append(
            Run(number, row.seconds, row.dollars, row.status, dict(row.seen))
        )
        programs[row.workload], inputs[row.workload] = row.program, row.inputs
    return Recorded(space, {name: tuple(each) for name, each in runs.items()}, programs, inputs)
