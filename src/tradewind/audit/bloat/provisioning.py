"""What it takes to bring an image to where it runs: seconds of a pull, and dollars of a month.

Two models of the time of a pull, of which neither is right everywhere: in one download and inflation overlap
and writing follows, in the other each byte is downloaded and then unpacked. Every rate is measured or given
by whoever asks and says which; what differs between measurements becomes an interval. Bytes are decimal: a GB
is 1e9.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from tradewind.errors import Misuse

GB = 1e9


class Span(Struct, frozen=True):
    """An interval: what a model gives for the best and for the worst of the measured rates."""

    low: float
    high: float

    def over(self, other: Span) -> Span:
        """How many times the other it is: from the least over the greatest to the greatest over the least."""
        return Span(self.low / other.high, self.high / other.low)

    def plus(self, other: Span) -> Span:
        """Both after each other."""
        return Span(self.low + other.low, self.high + other.high)


class Layer(Struct, frozen=True):
    """One layer of an image."""

    digest: str
    compressed: int
    """Bytes that travel."""
    unpacked: int
    """Bytes that lie on a disk."""


class Moved(Struct, frozen=True):
    """An image, as far as moving it goes."""

    name: str
    layers: tuple[Layer, ...]
    unpack_seconds: tuple[float, ...] = ()
    """Measured seconds of unpacking it whole; where there are none, the rate tells."""

    @property
    def compressed(self) -> int:
        """Bytes that travel, each layer once."""
        return sum({each.digest: each.compressed for each in self.layers}.values())

    @property
    def unpacked(self) -> int:
        """Bytes on a disk, each layer once."""
        return sum({each.digest: each.unpacked for each in self.layers}.values())


class Rates(Struct, frozen=True):
    """How fast bytes move. Rates are in bytes a second and may be several measurements of one thing."""

    bandwidth: tuple[float, ...]
    unpack: tuple[float, ...] = ()
    """End to end, of unpacked bytes: inflate and write."""
    inflate: tuple[float, ...] = ()
    """Of compressed bytes, for the model in which it overlaps the download."""
    write: tuple[float, ...] = ()
    """Of unpacked bytes, for the same."""
    round_trip: float = 0.0
    """Seconds, paid for each layer."""
    authentication: float = 0.0
    """Seconds, paid for each pull."""
    source: str = "given"
    """Where the rates come from, in words."""

    def check(self) -> None:
        """Misuse for a rate or time that cannot be."""
        for field in ("bandwidth", "unpack", "inflate", "write"):
            for value in getattr(self, field):
                if not 0 < value < math.inf:
                    raise Misuse(
                        f"{value!r} is no rate", source="rates", field=field, fix="Give bytes a second."
                    )
        if not self.bandwidth:
            raise Misuse("is missing", source="rates", field="bandwidth", fix="Give bytes a second.")
        for field in ("round_trip", "authentication"):
            if not 0 <= getattr(self, field) < math.inf:
                raise Misuse("is no time", source="rates", field=field, fix="Give seconds, 0 or more.")


def pull_in_turn(image: Moved, rates: Rates) -> Span:
    """Seconds of a pull in which everything is downloaded and then unpacked: the pessimistic sum.

    Misuse if neither the image's unpacking nor a rate of it was measured.
    """
    rates.check()
    return _fixed(image, rates).plus(_spent(image.compressed, rates.bandwidth)).plus(_unpacking(image, rates))


def pull_overlapping(image: Moved, rates: Rates) -> Span:
    """Seconds of a pull in which download and inflation overlap and writing follows.

    Misuse if `inflate` or `write` is not known.
    """
    rates.check()
    for field in ("inflate", "write"):
        if not getattr(rates, field):
            raise Misuse(
                "is not known", source="rates", field=field, fix="Measure it, or use the other model."
            )
    coming, inflating = _spent(image.compressed, rates.bandwidth), _spent(image.compressed, rates.inflate)
    slower = Span(max(coming.low, inflating.low), max(coming.high, inflating.high))
    return _fixed(image, rates).plus(slower).plus(_spent(image.unpacked, rates.write))


class Prices(Struct, frozen=True):
    """US dollars, as the user or a catalogue gives them; none has a default."""

    egress: float
    """For each GB pulled."""
    disk: float
    """For each GB on a node and month."""
    store: float
    """For each GB in the registry and month."""
    instance_second: float
    """For each second that an instance waits."""
    source: str
    """Where they come from, in words."""

    def check(self) -> None:
        """Misuse for a price that cannot be."""
        for field in ("egress", "disk", "store", "instance_second"):
            if not 0 <= getattr(self, field) < math.inf:
                raise Misuse("is no price", source="prices", field=field, fix="Give US dollars, 0 or more.")


class Use(Struct, frozen=True):
    """What a month asks of an image."""

    pulls: float
    """Times that it is downloaded."""
    nodes: float
    """Disks that it lies on."""
    cold_starts: float = 0.0
    """Times that an instance waits for it."""


class MonthlyCost(Struct, frozen=True):
    """US dollars of a month."""

    egress: float
    disk: float
    store: float
    waiting: Span
    """Instances that wait for pulls."""

    @property
    def total(self) -> Span:
        """All parts."""
        rest = self.egress + self.disk + self.store
        return Span(rest + self.waiting.low, rest + self.waiting.high)


def monthly_cost(image: Moved, use: Use, prices: Prices, pull: Span) -> MonthlyCost:
    """What one image costs in a month when nothing is shared; `pull` is seconds of one cold start."""
    return fleet_cost([(image, use, pull)], prices)


def fleet_cost(fleet: Sequence[tuple[Moved, Use, Span]], prices: Prices) -> MonthlyCost:
    """What a set of images costs in a month: each with its use and the seconds of one of its cold starts.

    A layer that several share is stored once in the registry and once on a node that runs them: the images
    lie on the same nodes as far as their numbers allow, so a layer lies on as many nodes as the image with
    the most. A pull counts whole, for it is asked of a node that does not have it yet; a node that already
    has a shared layer pulls less, which makes the sum of shared fleets an upper bound.
    """
    prices.check()
    stored: dict[str, int] = {}
    on_disk: dict[str, float] = {}
    pulled = 0.0
    waiting = Span(0.0, 0.0)
    for image, use, pull in fleet:
        pulled += use.pulls * image.compressed
        waits = use.cold_starts * prices.instance_second
        waiting = waiting.plus(Span(waits * pull.low, waits * pull.high))
        for layer in image.layers:
            stored[layer.digest] = layer.compressed
            on_disk[layer.digest] = max(on_disk.get(layer.digest, 0.0), use.nodes * layer.unpacked)
    return MonthlyCost(
        pulled / GB * prices.egress,
        sum(on_disk.values()) / GB * prices.disk,
        sum(stored.values()) / GB * prices.store,
        waiting,
    )


class FleetBytes(Struct, frozen=True):
    """Bytes of a set of images with each layer once."""

    compressed: int
    unpacked: int


def fleet_bytes(images: Sequence[Moved]) -> FleetBytes:
    """What a set of images takes in a registry and on one node that has all of them."""
    layers = {layer.digest: layer for image in images for layer in image.layers}
    return FleetBytes(
        sum(each.compressed for each in layers.values()), sum(each.unpacked for each in layers.values())
    )


def break_even(base: float, own: float, slim: float) -> float:
    """How many images that share a base take as much as as many slim ones of a single layer each.

    `base` is the shared part, `own` what each original adds, `slim` the size of each slim image, in any one
    kind of bytes. With fewer images the slim ones take less, with more the originals; infinite if the slim
    ones always do.
    """
    return base / (slim - own) if slim > own else math.inf


def _fixed(image: Moved, rates: Rates) -> Span:
    seconds = rates.authentication + len(image.layers) * rates.round_trip
    return Span(seconds, seconds)


def _spent(amount: float, rates: Sequence[float]) -> Span:
    return Span(amount / max(rates), amount / min(rates))


def _unpacking(image: Moved, rates: Rates) -> Span:
    if image.unpack_seconds:
        return Span(min(image.unpack_seconds), max(image.unpack_seconds))
    if not rates.unpack:
        raise Misuse(
            "is not known, and the image's unpacking was not measured",
            source="rates",
            field="unpack",
            fix="Measure it, or use the other model.",
        )
    return _spent(image.unpacked, rates.unpack)
