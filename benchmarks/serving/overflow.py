"""Instances, functions, or both: what a million requests cost by load, where they cross, and a burst.

    make bench NAME=serving/overflow
    make bench NAME=serving/overflow ARGS=--quick

Two parts are simulated, and one is real.

1. By load (simulated: one queue before many replicas, `serving.provisioning.modelled_queue`): a steady
Poisson load of so many requests a second is answered within 1 s for 99 %. `instances` is the least number of
c5.large that do it, at $0.085 an hour on demand; `functions` is every request as a call; `hybrid` the number
of instances, from none on, whose hour and whose calls for what they cannot answer in time come to least.
Throughput is that of Inception-v3 in MArk's repository, 284 requests a minute on a c5.large, two hardware
threads. The function has 1769 MB, one hardware thread, and takes twice the time of two (assumed), at today's
price of Lambda, billed by the millisecond; a cold call takes 5 s (assumed). Where instances kept busy all the
time would cost what functions do is reckoned in closed form (`providers.functions.break_even`), and where the
two lines cross is found between the loads that are shown.

2. On recorded load (simulated by the same queue, behind the controller that rents for real): WorldCup98 by
the minute, stretches of some hours, and the Azure LLM trace of 2023 for code, one hour in intervals of 5 s
with its own burstiness; each is scaled so that its mean is the work of `--replicas` instances. Rented on
demand on the recorded market of 2015, every hour paid, on the type that is cheapest per request there, with
throughputs put on types by their vCPUs (assumed): a fixed number of instances, SageMaker's target tracking,
and the same with functions beside it. Each has its setting swept, and the cheapest that met 99 % over the
stretches of the trace is told, or the best in time where none did: hindsight, the same for all. Start-up is
120 s; the first ten minutes do not count.

3. A burst (real): `tradewind serve` with one replica of a model that sleeps 100 ms a row, an objective of
600 ms, and 24 requests at once, again and again; alternating between a server with functions on its local
host, 12 environments of them warm at first, and one without. The host simulates Lambda's API on this very
machine, and dollars are as Lambda's price list would charge. A sleeping model needs no processor: what is
shown is the routing, not the capacity of this machine.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

import tradewind
from tradewind.data.request_traces import RequestTrace, request_trace
from tradewind.market.billing.functions import BY_MILLISECONDS
from tradewind.providers.functions import FULL_CORE, break_even, cost_of_call
from tradewind.serving.objective import Objective
from tradewind.serving.provisioning.controller import Endpoint
from tradewind.serving.provisioning.fixed import Fixed
from tradewind.serving.provisioning.interface import FunctionProfile, Profile
from tradewind.serving.provisioning.modelled_queue import CALLS, IN_TIME, ModelledQueue, step_for
from tradewind.serving.provisioning.modelled_service import MODEL, rehearse
from tradewind.serving.provisioning.target_tracking import TargetTracking

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from provisioning_world import Era, cheapest, eras_of, there

OBJECTIVE = Objective(1.0, 0.99)
RATE, PER_HOUR = 284 / 60, 0.085
SERVICE = 2 / RATE
"""Seconds of a request on one hardware thread; a c5.large has two, and so two requests in hand."""
INSTANCE = Profile("c5.large", RATE, SERVICE, 2.0)
CALL = cost_of_call(SERVICE, FULL_CORE)
FUNCTION = FunctionProfile(per_request=CALL, warm=SERVICE, cold=5.0, concurrency=1000)
LOADS = (0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)
FACTORS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.15, 1.3, 1.6, 2.0)
"""SageMaker's safety factor, from safe to bold."""
PUBLISHED = 0.5
SWEPT = {
    "fixed": (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0),
    "instances": FACTORS,
    "hybrid": FACTORS,
}
"""By policy its settings; of a fixed number, in times of the mean load."""
STARTUP, UNCOUNTED, HOUR, DAY = 120.0, 600.0, 3600.0, 86_400.0
SLOW = """
import time

class Slow:
    signature = {"inputs": {"x": ["FP64", [-1, 1]]}, "outputs": {"y": ["FP64", [-1, 1]]}}

    def predict(self, inputs):
        time.sleep(0.1 * len(inputs["x"]))
        return {"y": 2 * inputs["x"]}
"""
WITHIN, AT_ONCE = 0.6, 24


class Hybrid(TargetTracking):
    """Target tracking of instances with functions beside them."""

    name = "target_tracking_and_functions"
    overflow = True


def main() -> None:
    """Run the three parts, print their tables and the closing line."""
    options = _options()
    began = time.perf_counter()
    print(
        f"Tradewind {tradewind.__version__}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"{os.cpu_count()} cores, {platform.machine()}; seed {options.seed}"
    )
    figures: dict[str, Any] = {"by_load": by_load(options)}
    figures["crossing"] = crossing(figures["by_load"])
    figures["traces"] = on_traces(options)
    figures["burst"] = burst(options)
    print(f"{time.perf_counter() - began:.0f} s in all")
    print(json.dumps({"benchmark": "serving/overflow", "figures": figures}))


def by_load(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """US dollars for a million requests in each way, by requests a second."""
    hours = 0.5 if options.quick else 4.0
    print(f"\nsimulated: {MODEL}; a steady load for {hours:g} h, 99 % within 1 s\n")
    print(
        f"{'requests/s':>10}{'instances':>11}{'functions':>11}{'hybrid':>9}   $ a million requests"
        f"{'n alone':>11}{'n hybrid':>10}{'by calls':>10}"
    )
    found = {}
    for load in LOADS:
        least, alone = 1, math.nan
        while _share(least, load, hours, options.seed, None)[0] < OBJECTIVE.share:
            least += 1
        alone = least * PER_HOUR / 3600 / load * 1e6
        best, chosen, part = math.inf, 0, 0.0
        for count in range(max(0, math.floor(load / RATE) - 3), least + 1):
            share, calls = _share(count, load, hours, options.seed, FUNCTION)
            cost = (count * PER_HOUR / 3600 / load + calls * CALL) * 1e6
            if share >= OBJECTIVE.share and cost < best:
                best, chosen, part = cost, count, calls
        row = {
            "instances": alone, "functions": CALL * 1e6, "hybrid": best, "n_alone": least, "n_hybrid": chosen,
            "by_calls": part,
        }  # fmt: skip
        found[f"{load:g}"] = {name: round(value, 4) for name, value in row.items()}
        told = f"{load:>10g}{alone:>11.2f}{CALL * 1e6:>11.2f}{best:>9.2f}"
        print(f"{told}{'':24}{least:>10}{chosen:>10}{part:>10.1%}")
    return found


def _share(
    count: int, load: float, hours: float, seed: int, function: FunctionProfile | None
) -> tuple[float, float]:
    """The shares in time and by calls of a steady load on so many instances, after ten minutes of it."""
    step = step_for(OBJECTIVE, [INSTANCE])
    steps, lead = round(hours * HOUR / step), round(UNCOUNTED / step)
    queue = ModelledQueue(
        OBJECTIVE, [INSTANCE], step=step, interval=lead, intervals=math.ceil((lead + steps) / lead),
        function=function,
    )  # fmt: skip
    queue.add(0, count)
    arrivals = np.random.default_rng(seed).poisson(load * step, lead + steps)
    queue.run(arrivals)
    counted = queue.counts[1:].sum(axis=0)
    requests = max(1.0, float(arrivals[lead:].sum()))
    return min(1.0, counted[IN_TIME] / requests), counted[CALLS] / requests


def crossing(found: dict[str, dict[str, float]]) -> dict[str, float]:
    """The load where instances become cheaper than functions, and the busy share at which they break even."""
    even = break_even(PER_HOUR, RATE, CALL)
    rows = [(float(load), row["instances"] - row["functions"]) for load, row in found.items()]
    at = math.nan
    for (low, above), (high, below) in itertools.pairwise(rows):
        if above > 0 >= below:
            at = math.exp(np.interp(0.0, [below, above], [math.log(high), math.log(low)]))
    print(
        f"\ninstances become cheaper at {at:.2f} requests/s; kept busy all the time they would be from "
        f"{even:.0%} of their capacity on, {even * RATE:.2f} requests/s a c5.large"
    )
    return {"requests_per_second": round(at, 3), "break_even_utilisation": round(even, 4)}


def on_traces(options: argparse.Namespace) -> dict[str, dict[str, dict[str, float]]]:
    """Cost and share in time of target tracking with and without functions, by trace."""
    era = next(each for name, each in eras_of(options).items() if name.startswith("2015, every"))
    profile = cheapest(era)
    requests = options.data / "requests"
    world = request_trace(there(requests / "worldcup98-per-minute.csv.gz"))
    code = request_trace(there(requests / "azure-llm-2023-code.csv.gz"), interval=5.0)
    hours = 3.0 if options.quick else 6.0
    days = (20.5, 40.5) if options.quick else (15.5, 20.5, 25.5, 30.5, 35.5, 40.5, 45.5, 50.5, 55.5, 60.5)
    stretches = {
        "WorldCup98": [
            world.window(_midnight(world) + day * DAY, _midnight(world) + day * DAY + hours * HOUR)
            for day in days
        ],
        "Azure LLM code": [code],
    }
    print(
        f"\nsimulated: {MODEL}; prices and bills are recorded, on {profile.instance_type}\n"
        f"{'trace':16}{'':20}{'setting':>8}{'USD/h':>8}{'in time':>9}{'by calls':>10}{'USD/h of calls':>16}"
    )
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, mine in stretches.items():
        found[name] = {}
        for told, settings in SWEPT.items():
            rows = [_row(told, setting, mine, era, profile, options) for setting in settings]
            kept = [row for row in rows if row["slo"] >= OBJECTIVE.share]
            best = min(kept, key=lambda row: row["cost"]) if kept else max(rows, key=lambda row: row["slo"])
            shown = {told: best} | {f"{told}_published": row for row in rows if row["setting"] == PUBLISHED}
            for label, row in shown.items():
                if label.startswith("fixed_"):
                    continue
                found[name][label] = {key: round(value, 5) for key, value in row.items()}
                print(
                    f"{name:16}{label:20}{row['setting']:>8g}{row['cost']:>8.2f}{row['slo']:>9.4f}"
                    f"{row['by_calls']:>10.2%}{row['functions']:>16.3f}"
                )
    return found


def _midnight(trace: RequestTrace) -> float:
    return math.ceil(trace.start / DAY) * DAY


def _row(
    told: str, setting: float, stretches: list[RequestTrace], era: Era, profile: Profile,
    options: argparse.Namespace,
) -> dict[str, float]:  # fmt: skip
    """All stretches together, each on the market from a whole hour of its own on."""
    cost = calls = requests = in_time = overflowed = hours = 0.0
    endpoint = Endpoint(objective=OBJECTIVE, profiles=(profile,), startup=STARTUP, function=FUNCTION)
    for number, stretch in enumerate(stretches):
        start = era.first + number * 7 * DAY
        load = stretch.moved(start).scaled(options.replicas * profile.rate / float(stretch.rates.mean()))
        until = load.start + math.floor((load.end - load.start) / 60) * 60
        kind = profile.instance_type
        if told == "fixed":
            policy: Any = Fixed(setting * options.replicas * profile.rate, instance_type=kind)
        else:
            policy = (Hybrid if told == "hybrid" else TargetTracking)(setting, instance_type=kind)
        done = rehearse(
            era.market, load, policy, endpoint, start=start, until=until, seed=options.seed,
            uncounted=UNCOUNTED,
        )  # fmt: skip
        cost, calls = cost + done.cost, calls + done.functions
        requests, in_time = requests + done.requests, in_time + done.in_time
        overflowed, hours = overflowed + done.overflowed, hours + (until - start) / HOUR
    return {
        "setting": setting, "cost": cost / hours, "slo": in_time / requests,
        "by_calls": overflowed / requests, "functions": calls / hours,
    }  # fmt: skip


def burst(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """A real burst on servers with and without functions."""
    rounds = 3 if options.quick else 10
    print(f"\nreal: {AT_ONCE} requests at once, one replica of 100 ms a row, {WITHIN:g} s; {rounds} rounds")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "slow_burst.py").write_text(SLOW)
        servers = {"instances": _Server(folder), "hybrid": _Server(folder, functions=True)}
        try:
            for each in servers.values():
                each.ready()
            done: dict[str, list[float]] = {name: [] for name in servers}
            answered = dict.fromkeys(servers, 0)
            for _ in range(rounds):
                for name, server in servers.items():
                    seconds = _at_once(server.port)
                    answered[name] += sum(math.isfinite(each) for each in seconds)
                    done[name].append(sum(each <= WITHIN for each in seconds) / AT_ONCE)
                    time.sleep(0.3)
            dollars = servers["hybrid"].metric("tradewind_function_dollars_total")
            calls = servers["hybrid"].metric("tradewind_function_calls_total")
        finally:
            for each in servers.values():
                each.end()
    found = {}
    for name, shares in done.items():
        row = {
            "in_time": statistics.median(shares), "worst": min(shares), "best": max(shares),
            "answered": answered[name] / rounds / AT_ONCE,
        }  # fmt: skip
        found[name] = {key: round(value, 4) for key, value in row.items()}
        print(
            f"{name:12} in time {row['in_time']:.0%} (worst {row['worst']:.0%}, best {row['best']:.0%}), "
            f"answered {row['answered']:.0%}, the rest refused"
        )
    found["hybrid"] |= {"dollars": round(dollars, 7), "calls": calls}
    print(f"{calls:.0f} calls, ${dollars:.6f} as Lambda's price list would charge (local host, simulated)")
    return found


def _at_once(port: int) -> list[float]:
    """Seconds of each answer; infinity for a refusal. Clients give no deadline: the server's is the limit."""
    seconds = [math.inf] * AT_ONCE
    gate = threading.Barrier(AT_ONCE)

    def ask(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.connect()
        tensor = {"name": "x", "shape": [1, 1], "datatype": "FP64", "data": [float(number)]}
        body = json.dumps({"inputs": [tensor]})
        gate.wait()
        began = time.perf_counter()
        connection.request("POST", "/v2/models/Slow/infer", body)
        answer = connection.getresponse()
        said = json.loads(answer.read())
        took = time.perf_counter() - began
        connection.close()
        if answer.status == 200:
            assert said["outputs"][0]["data"] == [2.0 * number], "somebody else's answer"
            seconds[number] = took

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(AT_ONCE)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return seconds


class _Server:
    """`tradewind serve` in a process of its own."""

    STANDBY = 12

    def __init__(self, folder: str, functions: bool = False) -> None:
        asked = ["--overflow", "functions", "--function", f"standby={self.STANDBY}"] if functions else []
        asked += ["--function", f"concurrency={AT_ONCE}", "--function", "memory=512"] if functions else []
        self._functions = functions
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from tradewind.cli.main import main; raise SystemExit(main())",
             "serve", "slow_burst:Slow", "--slo", f"p99<{1000 * WITHIN:g}ms", "--max-batch", "0",
             "--port", "0", "--no-grpc", "--json", *asked],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": folder},
        )  # fmt: skip
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit("a server did not start")
        self.port = int(json.loads(line)["http"].rpartition(":")[2])

    def ready(self) -> None:
        """Wait until its functions are warm, and it has answered once."""
        until = time.perf_counter() + 60
        while self._functions and self.metric("tradewind_function_environments") < self.STANDBY:
            if time.perf_counter() > until:
                sys.exit("no functions came up")
            time.sleep(0.1)

    def metric(self, name: str) -> float:
        """The sum of a metric."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/metrics")
        page = connection.getresponse().read().decode()
        connection.close()
        lines = [line for line in page.splitlines() if line.startswith(f"{name}{{")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def end(self) -> None:
        """Have it drain, and end."""
        self._process.terminate()
        self._process.wait(30)


def _options() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parents[2]
    made.add_argument(
        "--data", type=Path, default=Path(os.environ.get("TRADEWIND_DATA", here / "../shared/data"))
    )
    made.add_argument("--quick", action="store_true", help="fewer hours and rounds; < 45 s")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--replicas", type=float, default=12.0, help="mean load in replicas")
    made.add_argument("--era", default="2015", help=argparse.SUPPRESS)
    return made.parse_args()


assert BY_MILLISECONDS.unit == 0.001, "calls are billed by the millisecond"

if __name__ == "__main__":
    main()
