"""Searches on recorded runs, for the benchmarks of advice: worlds, contenders, and what a search came to.

Recorded: run times, prices, failures. Simulated: the search, in which a probe is looked up in the table and
paid what it cost there, up to its limit where the advisor set one. A world is one workload on the
configurations that it was measured on. Its corpus is what other programs left on them: with a seed comes a
random three quarters of those workloads (`--corpus-share`), never the same program at another size. What was
measured several times counts by the run of median length.

The cost of what is recommended is that of its recorded run over the cheapest recorded run (`nc`); one that
fails there, or none at all, counts as the dearest run of the workload, twice. Search cost is in runs on the
cheapest configuration.

A search is made once for all that is asked of it: it runs to the advisor's own end, and goes on from there
with options under which it does not end; it is over once the optimum was found, for it is not left again by
those who recommend the best of their probes. With `--keep FILE` searches are added to that file as they come,
and those that are there are not made again: a run that was broken off goes on, and benchmarks share them.
The file knows nothing of changes of the code; start a new one after them.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import os
import platform
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import msgspec
import numpy as np
from msgspec.structs import replace
from peers import PEERS

import tradewind
from tradewind.advice.configuration.advisors import ADVISORS, advisor
from tradewind.advice.configuration.interface import AdvisingView, Advisor, Stop
from tradewind.advice.configuration.objective import Objective
from tradewind.advice.configuration.recommendation import recommended
from tradewind.advice.configuration.recorded import Recorded, recorded
from tradewind.advice.configuration.replayed import cut
from tradewind.advice.configuration.runs import Corpus, Run
from tradewind.advice.configuration.space import ConfigurationSpace
from tradewind.data.measured_runs.reading import measured_runs

NEAR = 1.05
"""Times the optimum that counts as having found it."""
FIXED = 10
"""Probes at which Optuna is taken, which never ends, and that a search makes though the optimum was found."""
ENDLESS = ("cherrypick", "lynceus", "arrow", "random", "best_single")
"""Advisors that choose the same probes whether they are to end or not."""
UNTAUGHT = ("ernest",)
"""Advisors that look at no corpus and at no seed."""


class World(msgspec.Struct, frozen=True):
    """One workload to give advice on."""

    name: str
    space: ConfigurationSpace
    truth: Mapping[int, Run]
    corpus: Corpus
    optimum: float
    """Dollars of the cheapest whole run."""

    def worth(self, number: int | None) -> float:
        """A configuration's cost over the optimum."""
        run = None if number is None else self.truth[number]
        if run is None or not run.whole:
            return 2 * max(each.dollars for each in self.truth.values()) / self.optimum
        return run.dollars / self.optimum


class Contender(msgspec.Struct, frozen=True):
    """A line of a table: an advisor with its options, or a peer."""

    label: str
    name: str
    options: Mapping[str, Any] = {}
    corpus: bool = True
    own: bool = True
    """Whether it ends when it wants to; otherwise it is only asked for a number of probes."""


class Asked(msgspec.Struct, frozen=True):
    """One search that a table wants."""

    paths: tuple[Path, ...]
    at: int
    """Which of their worlds."""
    contender: Contender
    seed: int
    share: float
    """Of the corpus."""
    most: int = 0
    """Probes to which it goes on after its own end; 0 for none."""
    now: int | None = None
    """The configuration that runs now, if that is told."""
    recurrences: float = 10.0
    time_limit: float | None = None


class Search(msgspec.Struct, frozen=True):
    """What came of one search."""

    world: str
    seed: int
    nc: tuple[float, ...]
    """Of what was recommended after each probe; of none at all if the search made none."""
    spent: tuple[float, ...]
    """Dollars of the probes so far, over the optimum."""
    why: str
    ended: int
    """Probes after which the advisor ended by itself; of one that was asked for a number, `FIXED`."""

    @property
    def end(self) -> Search:
        """The search up to the advisor's own end."""
        there = max(self.ended, 1)
        return replace(self, nc=self.nc[:there], spent=self.spent[:there])

    def within(self, most: int) -> Search:
        """The search up to so many probes."""
        return replace(self, nc=self.nc[:most], spent=self.spent[:most])

    def after(self, probes: int) -> float:
        """The cost over the optimum of what is recommended then, or at the end if that came first."""
        return self.nc[min(probes, len(self.nc)) - 1]

    def for_cost(self, spent: float) -> float:
        """The same, of the last recommendation for which no more had been spent."""
        paid = [nc for nc, each in zip(self.nc, self.spent, strict=True) if each <= spent + 1e-9]
        return paid[-1] if paid else self.nc[0]

    def cost_within(self, bound: float) -> float:
        """Search cost at which a recommendation comes within so many times the optimum, for good."""
        good = [nc <= bound + 1e-9 for nc in self.nc]
        at = next((at for at in range(len(good)) if all(good[at:])), None)
        return float("inf") if at is None else self.spent[at]

    def total(self, recurrences: float) -> float:
        """Search and so many runs on what was recommended at the end, over the optimum."""
        return self.spent[-1] + recurrences * self.nc[-1]


CONTENDERS = (
    Contender("tradewind", "tradewind"),
    Contender("tradewind, no corpus", "tradewind", corpus=False),
    Contender("cherrypick", "cherrypick"),
    Contender("cherrypick, published stop", "cherrypick", {"least": 6, "gain": 0.1}),
    Contender("lynceus", "lynceus"),
    Contender("lynceus, published model", "lynceus", {"logs": False, "horizon": 2}),
    Contender("arrow", "arrow"),
    Contender("micky", "micky"),
    Contender("best_single", "best_single"),
    Contender("best_single, ranking", "best_single", {"probes": 10}),
    Contender("random", "random", {"probes": 10}),
    Contender("optuna tpe", "tpe", own=False),
    Contender("optuna tpe, index", "tpe_index", own=False),
    Contender("optuna gp", "gp", own=False),
    Contender("optuna gp, index", "gp_index", own=False),
)
LATER = ("ernest", "paris", "selecta", "quasar", "transfer")
"""Advisors that join a table once the registry has them."""


def contenders(only: Sequence[str] = (), without: Sequence[str] = ()) -> list[Contender]:
    """Those whose advisor is there; of `only` these labels or names, if any are given, less those labels."""
    named = [*CONTENDERS, *(Contender(each, each) for each in LATER)]
    there = [each for each in named if each.name in PEERS or each.name in ADVISORS]
    chosen = [each for each in there if not only or each.label in only or each.name in only]
    return [each for each in chosen if each.label not in without]


@functools.cache
def worlds(paths: tuple[Path, ...], apart: bool = False) -> tuple[World, ...]:
    """A world for each workload that can be run at all; tables together are one space unless `apart`."""
    groups = [(path,) for path in paths] if apart else [paths]
    found = []
    for group in groups:
        table = recorded([run for path in group for run in measured_runs(path)], str(group[0]))
        found += [_world(table, name) for name in table.runs if any(run.whole for run in table.runs[name])]
    return tuple(found)


def _world(table: Recorded, workload: str) -> World:
    one = table.one_each(workload)
    numbers = sorted(one)
    place = {number: at for at, number in enumerate(numbers)}
    space = ConfigurationSpace(tuple(table.space[number] for number in numbers), workload)
    others = {
        name: moved
        for name, runs in table.corpus(but_program=table.programs[workload]).workloads.items()
        if (moved := tuple(_moved(run, place) for run in runs if run.configuration in place))
    }
    truth = {place[number]: _moved(run, place) for number, run in one.items()}
    optimum = min(run.dollars for run in truth.values() if run.whole)
    return World(workload, space, truth, Corpus(others), optimum)


def _moved(run: Run, place: Mapping[int, int]) -> Run:
    return replace(run, configuration=place[run.configuration])


def far(contender: Contender, most: int) -> Contender:
    """The one that is asked for so many probes, where it chooses others than to its own end."""
    if contender.name != "tradewind":
        return contender
    return replace(contender, options={**contender.options, "probes": most}, own=False)


def part(corpus: Corpus, share: float, seed: int) -> Corpus:
    """Of the workloads, so great a share, drawn by the seed, one at least."""
    names = sorted(corpus.workloads)
    many = max(1, round(share * len(names)))
    if many >= len(names):
        return corpus
    drawn = np.random.default_rng((seed, 17)).permutation(len(names))[:many]
    return Corpus({names[at]: corpus.workloads[names[at]] for at in sorted(drawn)})


def made(contender: Contender, **more: Any) -> Advisor:
    """The contender's advisor."""
    options = {**contender.options, **more}
    return PEERS[contender.name](**options) if contender.name in PEERS else advisor(contender.name, **options)


def going_on(contender: Contender, most: int) -> dict[str, Any]:
    """The options with which an advisor does not end before so many probes, where it has such."""
    if contender.name in ("cherrypick", "lynceus", "arrow"):
        return {"least": most}
    going = contender.name in ("tradewind", "random") or "probes" in contender.options
    return {"probes": most} if going else {}


def search(
    world: World, advising: Advisor, seed: int, *, corpus: Corpus, further: Advisor | None = None,
    most: int = 0, own: bool = True, current: int | None = None, recurrences: float = 10.0,
    time_limit: float | None = None,
) -> Search:  # fmt: skip
    """The advisor on the world until it stops, and `further` on from there until `most` probes were made.

    Those that are not `own` never stop, and only make `most`.
    """
    view = AdvisingView(world.space, Objective(), (), corpus, current, recurrences, None, time_limit, seed)
    found, spent = [], []
    ended, why = None if own else FIXED, "" if own else f"{FIXED} were asked for."
    while ended is None or len(view.runs) < most:
        said = advising.next(view)
        if isinstance(said, Stop):
            if ended is None:
                ended, why = len(view.runs), said.reason
            if further is None or advising is further:
                break
            advising = further
            continue
        if said.configuration in view.probed:
            raise AssertionError(f"{said.configuration} was tried already")
        view = replace(view, runs=(*view.runs, cut(world.truth[said.configuration], said.limit)))
        found.append(world.worth(_chosen(view, advising)))
        spent.append(view.spent / world.optimum)
        least = not advising.recommends_unmeasured and found[-1] <= 1.0 + 1e-9
        if least and ended is not None and len(view.runs) >= FIXED:
            break
    if not found:
        found, spent = [world.worth(_chosen(view, advising))], [0.0]
    return Search(world.name, seed, tuple(found), tuple(spent), why, ended or 0)


def searched(asked: Asked) -> Search:
    """That search."""
    world = worlds(asked.paths)[asked.at]
    contender = asked.contender
    corpus = part(world.corpus, asked.share, asked.seed) if contender.corpus else Corpus()
    further = None
    if asked.most and contender.name in ENDLESS:
        further = made(contender, **going_on(contender, asked.most))
    return search(
        world, made(contender), asked.seed, corpus=corpus, further=further, most=asked.most,
        own=contender.own, current=asked.now, recurrences=asked.recurrences, time_limit=asked.time_limit,
    )  # fmt: skip


def searches(asked: Sequence[Asked], processes: int, keep: Path | None = None) -> list[Search]:
    """All of these, in this order; what is the same is made once, and taken from `keep` if it is there."""
    plain = [_plain(each) for each in asked]
    kept: dict[str, tuple[int, Search]] = {}
    if keep is not None and keep.exists():
        for line in keep.read_bytes().splitlines():
            key, most, found = msgspec.json.decode(line, type=tuple[str, int, Search])
            if key not in kept or kept[key][0] < most:
                kept[key] = most, found
    wanted: dict[str, Asked] = {}
    for each in plain:
        key = _key(each)
        if (key not in kept or kept[key][0] < each.most) and (
            key not in wanted or wanted[key].most < each.most
        ):
            wanted[key] = each
    # What a corpus teaches is remembered for a while: searches that share one come together.
    order = sorted(wanted.items(), key=lambda each: (each[1].paths, each[1].at, each[1].seed))
    for (key, each), found in zip(order, _as_they_come([each for _, each in order], processes), strict=True):
        kept[key] = each.most, found
        if keep is not None:
            with keep.open("ab") as file:
                file.write(msgspec.json.encode((key, each.most, found)) + b"\n")
    return [replace(kept[_key(each)][1], seed=told_.seed) for each, told_ in zip(plain, asked, strict=True)]


def _as_they_come(asked: Sequence[Asked], processes: int) -> Iterator[Search]:
    if processes < 2:
        yield from map(searched, asked)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(searched, asked, chunksize=1)


def _plain(asked: Asked) -> Asked:
    """The same without what its advisor does not look at."""
    if asked.contender.name != "tradewind":
        asked = replace(asked, now=None, recurrences=10.0)
    if not asked.contender.own:
        asked = replace(asked, most=max(asked.most, FIXED))
    elif asked.contender.name not in ENDLESS:
        asked = replace(asked, most=0)
    return replace(asked, seed=0) if asked.contender.name in UNTAUGHT else asked


def _key(asked: Asked) -> str:
    """What the search depends on, but how far it goes."""
    contender = asked.contender
    told_ = [
        _digest(asked.paths), worlds(asked.paths)[asked.at].name, contender.name, dict(contender.options),
        contender.corpus, asked.seed, asked.share, asked.now, asked.recurrences, asked.time_limit,
    ]  # fmt: skip
    return msgspec.json.encode(told_, order="deterministic").decode()


@functools.cache
def _digest(paths: tuple[Path, ...]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def _chosen(view: AdvisingView, advising: Advisor) -> int | None:
    """What is recommended; what runs now where nothing is."""
    if advising.recommends_unmeasured:
        advice = recommended(view, advising)
        return view.current if advice is None else advice.configuration
    return view.current if view.best is None else view.best.configuration


def quantile(values: Sequence[float], share: float) -> float:
    """By linear interpolation; infinite where it falls among infinite values."""
    ordered = np.sort(np.asarray(values, np.float64))
    at = share * (len(ordered) - 1)
    low, high = int(np.floor(at)), int(np.ceil(at))
    if low == high or np.isinf(ordered[high]):
        return float(ordered[high])
    return float(ordered[low] + (at - low) * (ordered[high] - ordered[low]))


def bootstrapped(
    values: Mapping[str, Sequence[float]], of: Callable[[Sequence[float]], float]
) -> tuple[float, float]:
    """A 95 % interval over workloads, which are drawn anew 1000 times with all their seeds."""
    names, chance = sorted(values), np.random.default_rng(0)
    drawn = [
        of([each for at in chance.integers(len(names), size=len(names)) for each in values[names[int(at)]]])
        for _ in range(1000)
    ]
    return float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))


def options_of(doc: str | None, seeds: int = 20) -> argparse.Namespace:
    """What every one of these benchmarks is told."""
    made_ = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parents[2]
    made_.add_argument(
        "--data", type=Path, default=Path(os.environ.get("TRADEWIND_DATA", here / "../shared/data"))
    )
    made_.add_argument("--quick", action="store_true", help="few workloads, two seeds; < 45 s")
    made_.add_argument("--seeds", type=int, default=seeds)
    made_.add_argument("--first-seed", type=int, default=0)
    made_.add_argument("--jobs", type=int, default=2, help="processes")
    made_.add_argument("--corpus-share", type=float, default=0.75, help="of the other programs' workloads")
    made_.add_argument("--only", nargs="*", default=[], help="contenders, by label or advisor")
    made_.add_argument("--without", nargs="*", default=[], help="labels of contenders to leave out")
    made_.add_argument("--keep", type=Path, help="a file of searches to add to, and not to make again")
    given = made_.parse_args()
    given.seeds = min(given.seeds, 2) if given.quick else given.seeds
    return given


def told(given: argparse.Namespace, chosen: Sequence[World], seconds: float) -> None:
    """Versions, seeds and sizes."""
    sizes = [len(world.space) for world in chosen]
    print(
        f"Tradewind {tradewind.__version__}, Optuna {version('optuna')}, numpy {np.__version__},"
        f" Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()};"
        f" seeds {given.first_seed} to {given.first_seed + given.seeds - 1}; {seconds:.0f} s in all"
    )
    print(
        f"{len(chosen)} workloads, {min(sizes)} to {max(sizes)} configurations"
        f" (median {statistics.median(sizes):g}); runs recorded, searches simulated; corpus:"
        f" {given.corpus_share:.0%} of other programs' workloads by seed"
    )


def finite(value: float, digits: int = 3) -> float | None:
    """For JSON, which has no infinity."""
    return round(value, digits) if np.isfinite(value) else None
