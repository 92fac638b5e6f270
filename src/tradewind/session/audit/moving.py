"""What moving an image takes, before and after: seconds of a pull, and dollars of a month for a fleet."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from tradewind import clock
from tradewind.audit.bloat.provisioning import (
    Layer,
    Moved,
    Prices,
    Rates,
    Span,
    Use,
    monthly_cost,
    pull_in_turn,
)
from tradewind.audit.images.opening import Image, open_files
from tradewind.audit.images.unpacking import unpack
from tradewind.audit.images.writing import LayerContent, write_image
from tradewind.audit.slimming.writing import IMAGE
from tradewind.errors import Misuse
from tradewind.session.audit.exclusive import alone_in
from tradewind.session.audit.slim_folder import SlimFolder, slim_folder
from tradewind.session.audit.steps import scratch_in
from tradewind.session.audit.subject import Subject
from tradewind.session.report.audit.data import CostLine, sized

MBIT = 1e6 / 8
"""Bytes a second of a Mbit/s."""
DAYS = 365.25 / 12
"""Of a month."""
REPETITIONS = 2


class Fleet(Struct, frozen=True, kw_only=True):
    """How an image is used, and what that is paid; what has no price is not counted."""

    megabits: tuple[float, ...] = (100.0, 1000.0)
    """Bandwidths of a pull, in Mbit/s."""
    replicas: int = 0
    """Instances that run it; 0 where no month is asked about."""
    pulls_a_day: float = 1.0
    """By each of them."""
    transfer_price: float | None = None
    """US dollars for each GB pulled."""
    disk_price: float | None = None
    """For each GB on an instance's disk and month."""
    store_price: float | None = None
    """For each GB in the registry and month."""
    instance_price: float | None = None
    """For each hour that an instance waits for a pull."""

    @property
    def prices(self) -> dict[str, float | None]:
        """All prices, by their fields."""
        return {name: getattr(self, name) for name in self.__struct_fields__ if name.endswith("_price")}

    def check(self) -> None:
        """Misuse, naming the option, for what cannot be, and for a month that nothing is said of."""
        for name, least, values in (
            ("megabits", math.ulp(0.0), self.megabits),
            ("replicas", 0, (self.replicas,)),
            ("pulls_a_day", 0, (self.pulls_a_day,)),
            *((name, 0, (price,)) for name, price in self.prices.items() if price is not None),
        ):
            for value in values:
                if not least <= value < math.inf:
                    raise Misuse(f"{value!r} cannot be", field=_option(name), fix="Give a number above 0.")
        priced = any(price is not None for price in self.prices.values())
        if priced != bool(self.replicas):
            missing = "--replicas" if priced else "--transfer-price"
            raise Misuse(
                "a month needs instances and a price", field=missing, fix="Give it too, or leave both out."
            )


class Moving(Struct, frozen=True):
    """What moving an image takes, in rows, and all that was assumed."""

    lines: tuple[CostLine, ...]
    notes: tuple[str, ...]


def moving(image: str, slimmed: SlimFolder, scratch: Path, fleet: Fleet | None = None) -> Moving:
    """Seconds of a pull of the image and of the slim one, and dollars of a month for a fleet.

    Both are unpacked into `scratch`, twice, and timed: intervals are those of the measured times. A directory
    is packed first as one layer, for it has no size of its own to download. Misuse where what was slimmed is
    no layout, and for a fleet that cannot be.
    """
    fleet = fleet or Fleet()
    fleet.check()
    layout = slimmed.folder / IMAGE
    if not layout.is_dir():
        raise Misuse("holds no layout", source=str(slimmed.folder), fix="Slim it with --form layout.")
    packed = _packed(image, scratch)
    before = _timed("original", packed, "", scratch)
    after = _timed("slim", str(layout), slimmed.reference, scratch)
    notes = [
        f"A pull downloads {sized(before.compressed)} before and {sized(after.compressed)} after, at the "
        f"stated bandwidth, and then unpacks, as it took this machine, {REPETITIONS} times each."
    ]
    if packed != image:
        notes.append("The image is a directory; for its download it was packed here as one layer, by gzip.")
    lines = []
    for rate in fleet.megabits:
        first, second = (pull_in_turn(each, _rates(rate)) for each in (before, after))
        lines.append(_line(f"one pull at {rate:g} Mbit/s", "seconds", first, second))
    if fleet.replicas:
        lines += _month(before, after, fleet)
        notes += _assumed(fleet)
    return Moving(tuple(lines), tuple(notes))


def times_of(subject: Subject, target: Path, fleet: Fleet) -> Moving:
    """`moving` of a profile's image and of what was slimmed of it at `target`."""
    profile = subject.profile
    assert profile is not None, "a subject without a profile has no slim image"
    found = slim_folder(target, profile.name)
    with alone_in(profile.folder), scratch_in(profile.folder) as scratch:
        return moving(profile.about.image, found, scratch, fleet)


def _month(before: Moved, after: Moved, fleet: Fleet) -> Iterator[CostLine]:
    """A row for each priced part of a month, and one for all."""
    hour = fleet.instance_price or 0.0
    prices = Prices(
        egress=fleet.transfer_price or 0.0, disk=fleet.disk_price or 0.0, store=fleet.store_price or 0.0,
        instance_second=hour / 3600, source="the user",
    )  # fmt: skip
    pulls = fleet.replicas * fleet.pulls_a_day * DAYS
    use = Use(pulls=pulls, nodes=fleet.replicas, cold_starts=pulls)
    first, second = (
        monthly_cost(each, use, prices, pull_in_turn(each, _rates(fleet.megabits[0])))
        for each in (before, after)
    )
    for what, price, unit, one, other in (
        ("transfer", fleet.transfer_price, "GB pulled", _point(first.egress), _point(second.egress)),
        ("disks", fleet.disk_price, "GB and month on each instance", _point(first.disk), _point(second.disk)),
        ("registry", fleet.store_price, "GB and month", _point(first.store), _point(second.store)),
        ("waiting", fleet.instance_price, "hour of an instance", first.waiting, second.waiting),
    ):
        if price is not None:
            yield _line(f"a month's {what}", "dollars", one, other, f"${price:g} for each {unit}")
    yield _line("a month, all of it", "dollars", first.total, second.total)


def _assumed(fleet: Fleet) -> Iterator[str]:
    pulls = fleet.replicas * fleet.pulls_a_day * DAYS
    yield (
        f"Each of {fleet.replicas:,} instances pulls the whole image {fleet.pulls_a_day:g} times a day: "
        f"{pulls:,.1f} pulls in a month of {DAYS:.2f} days. No layer is there already, and none is shared "
        "with other images."
    )
    if fleet.instance_price is not None:
        yield f"Instances wait for pulls at {fleet.megabits[0]:g} Mbit/s."
    left = [name.removesuffix("_price") for name, price in fleet.prices.items() if price is None]
    if left:
        yield f"Not counted, for no price was given: {', '.join(left)}."


def _line(
    what: str, unit: Literal["seconds", "dollars"], before: Span, after: Span, given: str = ""
) -> CostLine:
    return CostLine(what, unit, (before.low, before.high), (after.low, after.high), given)


def _point(value: float) -> Span:
    return Span(value, value)


def _rates(megabits: float) -> Rates:
    return Rates(bandwidth=(megabits * MBIT,))


def _option(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def _packed(image: str, room: Path) -> str:
    """The image as something that is downloaded."""
    with open_files(image) as opened:
        if opened.layers:
            return image
        paths = [entry.path for entry in opened.files.tree if entry.kind not in ("socket", "device")]
        write_image(room / "packed", [LayerContent(opened.files, paths)], config=opened.config)
    return str(room / "packed")


def _timed(name: str, image: str, reference: str, room: Path) -> Moved:
    seconds = []
    for number in range(REPETITIONS):
        passed = clock.stopwatch()
        unpack(image, room / f"{name}-{number}", reference=reference)
        seconds.append(passed())
    with open_files(image, reference=reference) as opened:
        return Moved(name, _layers(opened), tuple(seconds))


def _layers(image: Image) -> tuple[Layer, ...]:
    return tuple(Layer(each.digest, each.packed, each.bytes) for each in image.layers)
