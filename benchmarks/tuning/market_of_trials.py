"""Two eras of spot for studies to be simulated in, and what a step takes on each type of machine there.

`bid`: prices of 2015, us-east-1a and 1b, every hour begun is owed, the hour that the provider cuts short is
free, and a lease whose price goes above its limit is revoked. What a step takes is from measured training of
convolutional networks on t2.small to t2.2xlarge (TrimTuner, Lynceus); each stands for the type of the market
with as many vCPUs.

`second`: prices of 2020 of p2.xlarge and p3.2xlarge, us-east-1, billed by the second. Instances come and go
as those of a cluster did for 11.4 hours (Bamboo's trace of p3), laid into these prices from an hour before
each start on, again and again: prices and lives are recorded, that they go together is assumed. What a step
takes is from measured throughputs of five kinds of network on K80 and V100, by size of batch.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from tradewind.data.catalogs import aws_catalog
from tradewind.data.histories.instance_lives import lives_of_csv
from tradewind.data.recorded_histories import history
from tradewind.market.histories import CapacityHistory, MarketHistory
from tradewind.market.recorded import RecordedMarket

BOOT, CHECKPOINT, RESTORE, EVERY = 60.0, 5.0, 10.0, 300.0
"""Seconds: from a lease's start until it trains; to make a checkpoint; to load one; between two of them."""
BID, SECOND = "bid", "second"
ERAS = (BID, SECOND)
LIKE = {
    "m3.medium": "t2.small",
    "r3.large": "t2.medium",
    "c3.xlarge": "t2.xlarge",
    "g2.2xlarge": "t2.2xlarge",
}
DEVICES = {"p2.xlarge": "k80", "p3.2xlarge": "v100"}
NETWORKS = ("ResNet-18", "ResNet-50", "LM", "Transformer", "Recommendation")
DAY = 86_400.0
LEARN, LEAST, LONGEST = 7 * DAY, 9 * DAY, 20 * DAY
"""Seconds of history before a start, and of record after it: at least, and at most."""


@dataclass(frozen=True)
class Kind:
    """A kind of training that was measured: seconds a step by type and size of batch."""

    name: str
    seconds: dict[str, dict[int, float]]

    def step(self, instance_type: str, batch: float) -> float:
        """On a type, at the measured size that is nearest in its logarithm; of no size, the middle one."""
        known = self.seconds[instance_type]
        sizes = sorted(known)
        if math.isnan(batch):
            return known[sizes[len(sizes) // 2]]
        return known[min(sizes, key=lambda size: abs(math.log(size / batch)))]


class Era:
    """One era's market, its kinds of training, and the moments at which a study may begin."""

    def __init__(self, name: str, data: Path) -> None:
        self.name = name
        if name == BID:
            self.kinds, self.types = tuple(_on_processors(data)), tuple(LIKE)
            self._prices = history(data / "spot" / "prices-2015.csv.gz", types=self.types)
            self._market: RecordedMarket | None = self._of(self._prices)
        else:
            self.kinds, self.types = tuple(_on_devices(data)), tuple(DEVICES)
            self._prices = history("aws-2020", types=self.types, zones=["us-east-1"])
            self._market = None
            trace = resources.files("tradewind.data") / "samples" / "bamboo-p3.csv"
            self._lives = lives_of_csv("bamboo-p3.csv", trace.read_text())
        self.first = max(each.start for each in self._prices.prices.values()) + LEARN
        self.last = min(each.end for each in self._prices.prices.values()) - LEAST

    def starts(self, chance: np.random.Generator, tuning: bool) -> float:
        """A moment of the first third of the record for tuning, of the last two, a week later, else."""
        border = self.first + (self.last - self.first) / 3
        low, high = (self.first, border - LEAST) if tuning else (border, self.last)
        return float(chance.uniform(low, max(low + 1.0, high)))

    def market(self, start: float) -> RecordedMarket:
        """What is sold around `start`."""
        if self._market is not None:
            return self._market
        prices = self._prices.window(start - DAY, start + LONGEST)
        pools = list(prices.pools)
        span = max(moment for life in self._lives for moment in life[1:] if math.isfinite(moment))
        begin = start - 3600.0
        rounds = math.ceil((LONGEST - DAY) / span)
        capacities = []
        for place, pool in enumerate(pools):
            slots = [
                (f"{name} {k}", begin + k * span + born, begin + k * span + min(died, span))
                for k in range(rounds)
                for name, born, died in self._lives[place :: len(pools)]
                if born < min(died, span)
            ]
            capacities.append(
                CapacityHistory.from_lifetimes(pool, slots, start=start - DAY, end=begin + rounds * span)
            )
        return self._of(
            MarketHistory("2020", {pool: prices.price(pool) for pool in pools}, notice=120.0).with_capacity(
                capacities
            )
        )

    def cheapest(self, start: float, seconds: dict[str, float]) -> dict[str, float]:
        """US dollars of a step by type, at the mean price of the week before in its cheapest zone."""
        found: dict[str, float] = {}
        for pool, prices in self._prices.prices.items():
            moments = start - LEARN * np.linspace(0, 1, 50)
            mean = float(np.mean([prices.at(float(each)) for each in moments]))
            cost = mean / 3600 * seconds[pool.instance_type]
            found[pool.instance_type] = min(found.get(pool.instance_type, math.inf), cost)
        return found

    @staticmethod
    def _of(known: MarketHistory) -> RecordedMarket:
        return RecordedMarket(known, aws_catalog(), boot=BOOT, on_demand=())


def _on_processors(data: Path) -> Iterator[Kind]:
    """TrimTuner's and Lynceus's convolutional networks, by how their workers were kept in step.

    Times of an iteration, medians over the sizes of cluster; Lynceus's synchronous ones are left out, for
    they measure the network between the machines.
    """
    flavours = {flavour: ours for ours, flavour in LIKE.items()}
    with gzip.open(data / "config" / "trimtuner-cnn.csv.gz", "rt") as file:
        rows = [("TrimTuner", row) for row in csv.DictReader(file) if row["training_set_size"] == "60000"]
    with open(data / "config" / "lynceus" / "t2_cnn_intermediate_values.csv") as file:
        rows += [("Lynceus", row) for row in csv.DictReader(file) if row["synchronism"] == "async"]
    measured: dict[str, dict[tuple[str, int], list[float]]] = defaultdict(lambda: defaultdict(list))
    for source, row in rows:
        iterations = float(row["total_iterations"])
        if iterations > 0:
            at = flavours[row["vm_flavor"]], int(row["batch_size"])
            measured[f"{source}, {row['synchronism']}"][at].append(float(row["training_time"]) / iterations)
    for name in sorted(measured):
        seconds: dict[str, dict[int, float]] = defaultdict(dict)
        for (ours, batch), times in measured[name].items():
            seconds[ours][batch] = float(np.median(times))
        yield Kind(name, dict(seconds))


def _on_devices(data: Path) -> Iterator[Kind]:
    """Networks whose throughput was measured on K80 and V100, alone on the device, by size of batch."""
    known = json.loads((data / "spot" / "gpu-throughputs.json").read_text())
    for network in NETWORKS:
        seconds: dict[str, dict[int, float]] = {kind: {} for kind in DEVICES}
        for kind, device in DEVICES.items():
            for job, rates in known[device].items():
                if job.startswith(f"{network} (batch size "):
                    seconds[kind][int(job.rpartition(" ")[2].rstrip(")"))] = 1.0 / float(rates["null"])
        yield Kind(network, seconds)
