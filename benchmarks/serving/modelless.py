"""Model-less routing on a mixed load: what answers it for least, against one variant for everything.

Measured here, really: seven ONNX models of one task (the digit in a picture; `digit_variants.py`) are
trained, quantized, opened by the server's own class, timed at 1, 2, 4 ... 64 rows and tested; so is the
start of a process that can serve one. Each is a variant with a batch limit of 16 rows, and one with 64.
Simulated: their replicas in virtual time (`modelless_world.py`), each on one core at the price of a core of
a c5.large (us-east-1, on demand, paid by the second), and the requests. A request brings 16 pictures, a
card number. Its class says how accurate and how quick: three floors (what the small, the single and the
voting network reach in their worse precision) times two bounds, in equal parts. Each class follows its own
stretch of WorldCup98's requests per minute, a minute in five seconds, scaled to the same mean (without
`--data` and TRADEWIND_DATA: made-up hours with bursts); arrivals within are Poisson.

Policies: the cheapest single variant that does every class; one for each class, scaled apart; INFaaS (its
dispatch and its autoscaler); the integer program under INFaaS's dispatch; INFaaS's autoscaler under ours;
the integer program under our dispatch (`tradewind`). The first two are scaled by the integer program as
well. Each has the least headroom of a grid at which 99 % of the requests of other seeds were in time; one
that never gets there has the largest. All begin with the program's fleet for the first second. `with wire`
adds the 0.25 ms that a request costs in the front, the same under each policy. Last, what no policy can
undercut: a fleet that knows the load and has no replica too many, fractions of one even, each always at work
on the batches that cost least a row of those that the bound of a class leaves time for.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from msgspec.structs import replace

from digit_variants import INPUT, digits, made
from modelless_world import Pool, arrivals_of, rates_of
from tradewind.data.catalogs import aws_catalog
from tradewind.serving.models.onnx import OnnxModel
from tradewind.serving.variants.profiler import measured
from tradewind.serving.variants.scaling.infaas import InfaasScaling
from tradewind.serving.variants.scaling.integer_program import IntegerProgram
from tradewind.serving.variants.scaling.interface import Class, Fleet, Limit, theta, worth
from tradewind.serving.variants.selection.cheapest_in_time import CheapestInTime
from tradewind.serving.variants.selection.infaas import InfaasSelection
from tradewind.serving.variants.selection.interface import Impossible, Query, Standing, feasible
from tradewind.serving.variants.states import Observed, State, state_of
from tradewind.serving.variants.variant import Rated, Variant, fitted

RESOURCE, REGION = "c5.large", "us-east-1"
ROWS = 16
BOUNDS = (0.025, 0.150)
TICK = 0.025
WIRE = 0.00025
WARM = 5.0
FULL = 0.7
HEADROOMS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.35, 0.5, 1.0, 2.0)
COARSE = (0.0, 0.05, 0.15, 0.35, 0.7)
LIMITS = {RESOURCE: Limit(200, 2**40)}
GOAL = 0.99


def processor() -> Callable[[], float]:
    """A watch of the processor's time, which neighbours on the machine lengthen less than the wall's."""
    began = time.process_time()
    return lambda: time.process_time() - began


def profiled(folder: Path) -> list[Rated]:
    """Every variant, trained, measured and tested."""
    core = aws_catalog().on_demand(RESOURCE, REGION) / 2
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2] / 'src')!r}); "
    code += "import numpy, onnxruntime; from tradewind.serving.models.onnx import OnnxModel"
    starts = []
    for _ in range(2):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
        starts.append(time.perf_counter() - began)
    _, _, pictures, truth = digits()
    found = []
    for each in made(folder):
        variant = Variant(
            name=f"{each.architecture}-{each.precision}-64", task="digits", architecture=each.architecture,
            precision=each.precision, artefact=str(each.path), runtime="onnxruntime", resource=RESOURCE,
            accuracy=0.0, max_batch=64,
        )  # fmt: skip
        large = measured(
            variant, lambda path=each.path: OnnxModel(path, threads=1), {INPUT: pictures}, labels=truth,
            per_hour=core, startup=min(starts), patience=0.1, watch=processor,
        )  # fmt: skip
        # The same model with a smaller limit: what was measured up to there.
        name = f"{each.architecture}-{each.precision}-16"
        batches, seconds = large.profile.batches[:5], large.profile.seconds[:5]
        small = replace(
            large.profile, variant=name, batches=batches, seconds=seconds, latency=fitted(batches, seconds)
        )
        found += [Rated(replace(large.variant, name=name, max_batch=16), small), large]
    return found


def classes_of(variants: list[Rated], shares: tuple[float, float, float]) -> tuple[list[Query], np.ndarray]:
    """The queries, and the share of the requests that each is."""
    queries, parts = [], []
    for architecture, share in zip(("cnn-small", "cnn", "cnn-vote"), shares, strict=True):
        floor = min(each.variant.accuracy for each in variants if each.variant.architecture == architecture)
        for bound in BOUNDS:
            queries.append(Query(bound, task="digits", accuracy=floor, rows=ROWS))
            parts.append(share / len(BOUNDS))
    return queries, np.array(parts)


class Policy:
    """A scaling rule, a selection rule, the variants that each class may use, and how often it scales."""

    def __init__(self, scaling, selection, variants: list[Rated], allowed: list[list[str]] | None, headroom):
        self.scaling, self.selection, self.variants = scaling, selection, variants
        self.allowed, self.headroom = allowed, headroom
        self.period = 1.0


def policies(variants: list[Rated], queries: list[Query], headroom: dict[str, float]) -> dict[str, Policy]:
    program, heuristic = IntegerProgram, InfaasScaling
    ours, theirs = CheapestInTime, lambda: InfaasSelection(cpu_from=0.0)
    able = [each for each in variants if all(feasible(query, each) for query in queries)]

    def cheapest(query: Query, among: list[Rated]) -> Rated:
        fits = [each for each in among if feasible(query, each)]
        return max(fits, key=lambda each: theta(query, Standing(each)) / each.profile.per_hour)

    single = max(able, key=lambda each: sum(1 / theta(query, Standing(each)) for query in queries) ** -1)
    own, allowed = [], []
    for at, query in enumerate(queries):
        best, name = cheapest(query, variants), f"class{at}"
        own.append(Rated(replace(best.variant, name=name), replace(best.profile, variant=name)))
        allowed.append([name])
    h = headroom
    return {
        "fixed": Policy(program(), ours(), [single], None, h.get("fixed", 0.0)),
        "individual": Policy(program(), ours(), own, allowed, h.get("individual", 0.0)),
        "infaas": Policy(heuristic(), theirs(), variants, None, h.get("infaas", 0.0)),
        "integer_program": Policy(program(), theirs(), variants, None, h.get("integer_program", 0.0)),
        "infaas_scaling": Policy(heuristic(), ours(), variants, None, h.get("infaas_scaling", 0.0)),
        "tradewind": Policy(program(), ours(), variants, None, h.get("tradewind", 0.0)),
    }


def played(policy: Policy, queries: list[Query], arrivals: list[np.ndarray], seconds: float, seed: int):
    """Dollars of the replicas, and per class how many were answered in time and how many came."""
    noise = np.exp(np.random.default_rng((seed, 2)).normal(0.0, 0.05, 4096))
    bounds = np.array([query.latency for query in queries])
    pools = [Pool(rated, bounds, ROWS) for rated in policy.variants]
    order = {pool.rated.name: at for at, pool in enumerate(pools)}
    allowed = policy.allowed or [list(order)] * len(queries)
    cut = [np.searchsorted(each, np.arange(0, seconds + TICK, TICK)) for each in arrivals]
    lately = [dict(rate=0.0, batch=float(ROWS), state=State.INACTIVE, slowdown=1.0) for _ in pools]
    select, scale = policy.selection.recall(), policy.scaling.recall()
    paid = 0.0

    def standing(pool: Pool, at: int, now: float) -> Standing:
        answering = pool.alive & (pool.ready <= now)
        coming = pool.ready[pool.alive & ~answering]
        count = int(answering.sum())
        about = lately[at]
        state = State.INACTIVE if not count else about["state"]
        if count and state is State.INACTIVE:
            state = State.ACTIVE
        return Standing(
            pool.rated, state, count, int((answering & (pool.free <= now)).sum()), pool.waiting * ROWS,
            about["rate"], about["batch"], about["slowdown"],
            float(coming.min() - now) if len(coming) else np.inf,
        )  # fmt: skip

    def plan(now: float, rates: np.ndarray, first: bool) -> None:
        nonlocal scale
        demands = tuple(
            Class(f"c{at}", query, float(rate))
            for at, (query, rate) in enumerate(zip(queries, rates, strict=True))
        )
        stands = []
        for at, pool in enumerate(pools):
            one = standing(pool, at, now)
            heuristic = isinstance(policy.scaling, InfaasScaling)
            rate = one.rate * (1 + policy.headroom) if heuristic else one.rate
            stands.append(replace(one, replicas=int(pool.alive.sum()), rate=rate, slowdown=1.0))
        rule = IntegerProgram() if first else policy.scaling
        if policy.allowed is None:
            fleet = Fleet(tuple(stands), demands, LIMITS, headroom=policy.headroom)
            if first:
                found = rule.scale(fleet, None)[0].replicas
            else:
                given, scale = rule.scale(fleet, scale)
                found = given.replicas
        else:  # a pool of its own for each class
            found = {}
            for at, one in enumerate(stands):
                fleet = Fleet((one,), (demands[at],), LIMITS, headroom=policy.headroom)
                found |= rule.scale(fleet, None)[0].replicas
        for pool in pools:
            pool.scale(found[pool.rated.name], now, 0.0 if first else pool.rated.profile.load)

    came = np.array([np.searchsorted(each, 1.0) for each in arrivals]) * float(ROWS)
    plan(0.0, came, True)
    next_second, next_plan = 1.0, policy.period
    seen_until = np.zeros(len(queries), int)
    history: list[np.ndarray] = []
    for tick in range(round(seconds / TICK)):
        now = tick * TICK
        if now >= next_second - 1e-9:
            counts = np.array([each[tick] for each in cut])
            history.append((counts - seen_until) * ROWS)
            seen_until = counts
            for at, pool in enumerate(pools):
                batches, rows, spent, expected, waits, answers = pool.seen[:6]
                about, profile = lately[at], pool.rated.profile
                mean = rows / batches if batches else about["batch"]
                usual = profile.latency.per_row * mean + profile.latency.fixed
                slowdown = spent / expected if batches else max(1.0, about["slowdown"] / 15)
                waited = waits / answers if answers else 0.0
                observed = Observed(
                    int((pool.alive & (pool.ready <= now)).sum()), pool.sent * ROWS / mean, mean, waited,
                    usual * slowdown, pool.waiting * ROWS / mean,
                )  # fmt: skip
                about.update(
                    rate=pool.sent * float(ROWS), batch=mean, slowdown=slowdown,
                    state=state_of(observed, profile.latency, "cpu", about["state"]),
                )  # fmt: skip
                pool.sent = 0
                pool.seen[:6] = 0
            next_second += 1.0
        if now >= next_plan - 1e-9:
            plan(now, np.max([np.mean(history[-3:], axis=0), np.mean(history[-1:], axis=0)], axis=0), False)
            next_plan += policy.period
        stands = [standing(pool, at, now) for at, pool in enumerate(pools)]
        for at, query in enumerate(queries):
            some = arrivals[at][cut[at][tick] : cut[at][tick + 1]]
            if not len(some):
                continue
            mine = [stands[order[name]] for name in allowed[at]]
            found, select = policy.selection.choose(query, mine, select)
            assert not isinstance(found, Impossible), found
            where = order[found.variant]
            pools[where].send(at, some)
            one = stands[where]
            stands[where] = replace(
                one, idle=max(0, one.idle - 1), waiting=one.waiting + (ROWS if one.idle else 0)
            )
            if found.start and not np.isfinite(stands[order[found.start]].starting):
                pool = pools[order[found.start]]
                pool.scale(int(pool.alive.sum()) + 1, now, pool.rated.profile.load)
                stands[order[found.start]] = standing(pool, order[found.start], now)
        for pool in pools:
            pool.run(now + TICK, noise)
            paid += pool.paid(now) * pool.rated.profile.per_hour * TICK / 3600
    total = np.array([len(each) for each in arrivals])
    done = sum(pool.done for pool in pools) - sum(pool.late for pool in pools)
    return paid, done, total


def gaps(variants: list[Rated], queries: list[Query], count: int, seed: int) -> tuple[list[float], int]:
    """How much dearer the fleet is that the heuristic comes to rest at than the program's for the same load.

    Random loads. It begins with the fleet for half to twice as much of the same load, and each class goes
    to the variant there that answers it for least. Also in how many cases its fleet has no room for the load;
    those have no ratio.
    """
    chance = np.random.default_rng(seed)
    found, short = [], 0
    for _ in range(count):
        before = chance.gamma(1.0, 20_000.0, len(queries))
        after = before * chance.uniform(0.5, 2.0)

        def fleet(stands: list[Standing], rates: np.ndarray) -> Fleet:
            each = [
                Class(f"c{at}", q, float(r)) for at, (q, r) in enumerate(zip(queries, rates, strict=True))
            ]
            return Fleet(tuple(stands), tuple(each), LIMITS)

        replicas = (
            IntegerProgram().scale(fleet([Standing(each) for each in variants], before), None)[0].replicas
        )
        rule = InfaasScaling(patience=0)
        for _ in range(40):
            loads = dict.fromkeys(replicas, 0.0)
            for query, rate in zip(queries, after, strict=True):
                able = [each for each in variants if replicas[each.name] and feasible(query, each)]
                if able:  # each class goes to the one that answers it for least
                    best = max(able, key=lambda each, q=query: theta(q, Standing(each)))
                    loads[best.name] += float(rate)
            stands = [
                Standing(
                    each, State.ACTIVE if replicas[each.name] else State.INACTIVE, replicas[each.name],
                    rate=loads[each.name], batch=float(each.variant.max_batch),
                )
                for each in variants
            ]  # fmt: skip
            now = fleet(stands, after)
            given = rule.scale(now, rule.recall())[0].replicas
            if given == replicas:
                break
            replicas = given
        theirs = worth(now, replicas)
        best = worth(
            now, IntegerProgram().scale(fleet([Standing(each) for each in variants], after), None)[0].replicas
        )
        if theirs.unmet > 1e-6:
            short += 1
        else:
            found.append(theirs.per_hour / best.per_hour)
    return found, short


def mean_rates(variants: list[Rated], queries: list[Query], parts: np.ndarray, cores: float) -> np.ndarray:
    """Requests a second of each class, so that the best single variant needs so many cores for the mean."""
    able = [each for each in variants if all(feasible(query, each) for query in queries)]
    needed = min(
        sum(part * ROWS / theta(query, Standing(each)) for query, part in zip(queries, parts, strict=True))
        for each in able
    )
    return parts * cores / needed


def undercut_by_none(variants: list[Rated], queries: list[Query], parts: np.ndarray) -> float:
    """US dollars of a request, if each is answered in time and no replica ever waits or starts.

    A row of a class is answered in a batch of some size, of some variant that is accurate enough, within the
    bound of the class. The least of price * T(b) / b over those is what it costs at least.
    """
    dollars = 0.0
    for query, part in zip(queries, parts / parts.sum(), strict=True):
        costs = []
        for each in variants:
            sizes = np.arange(1, each.variant.max_batch + 1)
            seconds = np.interp(sizes, each.profile.batches, each.profile.seconds)
            fits = (seconds <= query.latency) & (sizes >= ROWS) & feasible(query, each)
            costs += list(each.profile.per_hour / 3600 * (seconds / sizes)[fits])
        dollars += part * ROWS * min(costs)
    return dollars


class Contest:
    """A mixed load, and policies that answer it, each tuned on other seeds."""

    def __init__(
        self, variants: list[Rated], shares, data: Path | None, seconds: float, cores: float
    ) -> None:
        self.variants, self.data, self.seconds = variants, data, seconds
        self.queries, parts = classes_of(variants, shares)
        self.mean = mean_rates(variants, self.queries, parts, cores)

    def run(self, name: str, headroom: float, seed: int) -> tuple[float, float, float]:
        """Dollars, the share in time, requests."""
        policy = policies(self.variants, self.queries, {name: headroom})[name]
        rates = rates_of(self.data, len(self.queries), self.seconds, seed)
        arrivals = arrivals_of(rates, self.mean, self.seconds, seed)
        paid, done, total = played(policy, self.queries, arrivals, self.seconds, seed)
        return paid, float(done.sum() / total.sum()), float(total.sum())

    def tuned(self, name: str, grid: tuple[float, ...], seeds: int) -> float:
        """The least headroom at which enough is in time."""
        for value in grid:
            if all(self.run(name, value, 1000 + seed)[1] >= GOAL for seed in range(seeds)):
                return value
        return grid[-1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="shorter stretches")
    parser.add_argument("--data", type=Path, help="a folder with requests/worldcup98-per-minute.csv.gz")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    data = arguments.data or (Path(os.environ["TRADEWIND_DATA"]) if "TRADEWIND_DATA" in os.environ else None)
    quick = arguments.quick
    seconds, cores, grid, trials = (24.0, 20.0, COARSE, 1) if quick else (240.0, 20.0, HEADROOMS, 2)
    with tempfile.TemporaryDirectory() as folder:
        variants = profiled(Path(folder))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()},")
    packages = ("tradewind", "onnxruntime", "torch", "scikit-learn", "scipy", "numpy")
    print(", ".join(f"{name} {version(name)}" for name in packages) + ".\n")
    print("Measured: one thread, its processor time (a replica starts in what a process needs to import")
    print(
        f"the server's model class and open the model); accuracy on {variants[0].variant.tested:,} pictures:"
    )
    print(
        f"{'model':<18}{'accuracy':>9}" + "".join(f"{b:>8}" for b in (1, 4, 16, 64)) + "  ms at so many rows"
    )
    for each in variants[1::2]:
        times = dict(zip(each.profile.batches, each.profile.seconds, strict=True))
        cells = "".join(f"{times[b] * 1e3:>8.3f}" for b in (1, 4, 16, 64))
        print(f"{each.variant.name.removesuffix('-64'):<18}{each.variant.accuracy:>9.4f}{cells}")
    even = (1 / 3, 1 / 3, 1 / 3)
    field = Contest(variants, even, data, seconds, cores)
    queries, rate, names = field.queries, float(field.mean.sum()), list(policies(variants, field.queries, {}))
    headroom = {name: field.tuned(name, grid, trials) for name in names}
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    for seed in range(arguments.seeds):
        for name in names:  # alternating
            found[name].append(field.run(name, headroom[name], seed))
    recorded = data is not None and (data / "requests" / "worldcup98-per-minute.csv.gz").exists()
    print(
        f"\nSimulated: {arguments.seeds} seeds of {seconds:.0f} s, {rate:,.0f} requests/s (mean), evenly of"
    )
    print(
        f"{len(queries)} classes (accuracy {', '.join(f'{q.accuracy:.4f}' for q in queries[::2])}"
        f" x {' and '.join(f'{b * 1e3:.0f} ms' for b in BOUNDS)}); load: "
        + ("stretches of WorldCup98." if recorded else "made up (no recorded load was given).")
    )
    print(
        f"\n{'policy':<18}{'headroom':>9}{'$ / million':>13}{'spread':>16}"
        f"{'in time':>9}{'cheaper':>10}{'with wire':>11}"
    )
    core = variants[0].profile.per_hour
    figures: dict[str, dict[str, float]] = {}
    base = np.array([paid / count for paid, _, count in found["fixed"]])
    wire = core / 3600 * WIRE / FULL
    for name, rows in found.items():
        each = np.array([paid / count for paid, _, count in rows])
        slo = min(share for _, share, _ in rows)
        figures[name] = {
            "cost_per_million": float(np.median(each) * 1e6), "slo": float(np.mean([r[1] for r in rows])),
            "slo_worst": slo, "cost_vs_best_fixed": float(np.median(each / base)),
            "cheaper": float(np.median(base / each)), "cheaper_worst": float(np.min(base / each)),
            "with_wire": float(np.median((base + wire) / (each + wire))), "headroom": headroom[name],
        }  # fmt: skip
        f = figures[name]
        spread = f"{each.min() * 1e6:.3f}-{each.max() * 1e6:.3f}"
        print(
            f"{name:<18}{headroom[name]:>9.2f}{f['cost_per_million']:>13.4f}{spread:>16}{f['slo']:>9.4f}"
            f"{f['cheaper']:>9.2f}x{f['with_wire']:>10.2f}x"
        )
    least = undercut_by_none(variants, queries, field.mean)
    bound = {"cost_per_million": least * 1e6, "cheaper": float(np.median(base)) / least,
             "with_wire": (float(np.median(base)) + wire) / (least + wire)}  # fmt: skip
    print(
        f"{'no policy below':<18}{'':>9}{bound['cost_per_million']:>13.4f}{'':>25}"
        f"{bound['cheaper']:>9.2f}x{bound['with_wire']:>10.2f}x"
    )
    print(
        "INFaaS's dispatch takes the slowest variant in time for the cheapest, which holds between kinds of\n"
        "hardware; here all variants run on one, where the slowest is the dearest. Its scaling alone is the\n"
        "row infaas_scaling.\n"
    )
    shares = {}
    for part in (0.1, 0.6):
        rest = (1 - part) / 2
        other = Contest(variants, (rest, rest, part), data, seconds, cores)
        ratio = [
            other.run("fixed", headroom["fixed"], seed)[0]
            / other.run("tradewind", headroom["tradewind"], seed)[0]
            for seed in range(1 if quick else 3)
        ]
        shares[f"{part:g}"] = float(np.median(ratio))
        print(
            f"With {part:.0%} of the requests asking for the most accurate: "
            f"{shares[f'{part:g}']:.2f}x cheaper than fixed."
        )
    ratios, short = gaps(variants, queries, 20 if arguments.quick else 100, 0)
    several = len(ratios) + short
    print(
        f"\nThe heuristic's fleet at rest against the program's, {several} random loads: "
        + (f"median {np.median(ratios):.2f}x, 90 % below {np.quantile(ratios, 0.9):.2f}x; " if ratios else "")
        + f"without room for the load in {short}."
    )
    print(
        json.dumps(
            {
                "cost_vs_best_fixed": figures["tradewind"]["cost_vs_best_fixed"],
                "cheaper_than_best_fixed": figures["tradewind"]["cheaper"],
                "slo": figures["tradewind"]["slo"],
                "with_wire": figures["tradewind"]["with_wire"],
                "bound": bound,
                "policies": figures,
                "by_share_of_most_accurate": shares,
                "heuristic_gap_median": float(np.median(ratios)) if ratios else None,
                "heuristic_short": short / several,
                "recorded_load": recorded,
            }
        )
    )


if __name__ == "__main__":
    main()
