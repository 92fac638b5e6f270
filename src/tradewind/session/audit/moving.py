"""How long it takes to move an image, before and after: unpacked here, downloaded at a stated bandwidth."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from tradewind import clock
from tradewind.audit.bloat.provisioning import Layer, Moved, Rates, pull_in_turn
from tradewind.audit.images.opening import Image, open_files
from tradewind.audit.images.unpacking import unpack
from tradewind.audit.images.writing import LayerContent, write_image
from tradewind.audit.slimming.writing import IMAGE, SLIM
from tradewind.errors import Misuse
from tradewind.session.report.audit.data import CostLine

MBIT = 1e6 / 8


def pull_times(
    image: str,
    target: Path,
    scratch: Path,
    *,
    megabits: Sequence[float] = (100.0, 1000.0),
    repetitions: int = 2,
) -> tuple[CostLine, ...]:
    """Seconds of a pull of the image and of the slim one in `target`, at each bandwidth in Mbit/s.

    Both are unpacked into `scratch`, `repetitions` times, and timed: the interval is that of the measured
    times. A directory is packed first as one layer, for it has no size of its own to download. Misuse where
    `target` holds no layout.
    """
    layout = target / IMAGE
    if not layout.is_dir():
        raise Misuse("holds no layout", source=str(target), fix="Slim it with --form layout.")
    with tempfile.TemporaryDirectory(dir=scratch) as room:
        packed = _packed(image, Path(room))
        before = _timed("original", *packed, Path(room), repetitions)
        after = _timed("slim", str(layout), SLIM, Path(room), repetitions)
    lines = []
    for rate in megabits:
        rates = Rates(bandwidth=(rate * MBIT,))
        first, second = pull_in_turn(before, rates), pull_in_turn(after, rates)
        both = f"{before.compressed:,} and {after.compressed:,} bytes downloaded"
        given = f"{both}, then unpacked as measured here, {repetitions} times each"
        lines.append(
            CostLine(
                f"one pull at {rate:g} Mbit/s",
                "seconds",
                (first.low, first.high),
                (second.low, second.high),
                given,
            )
        )
    return tuple(lines)


def _packed(image: str, room: Path) -> tuple[str, str]:
    """The image as something that is downloaded, and its reference there."""
    with open_files(image) as opened:
        if opened.layers:
            return image, opened.reference
        paths = [entry.path for entry in opened.files.tree]
        write_image(room / "packed", [LayerContent(opened.files, paths)], config=opened.config)
    return str(room / "packed"), ""


def _timed(name: str, image: str, reference: str, room: Path, repetitions: int) -> Moved:
    seconds = []
    for number in range(repetitions):
        passed = clock.stopwatch()
        unpack(image, room / f"{name}-{number}", reference=reference)
        seconds.append(passed())
    with open_files(image, reference=reference) as opened:
        return Moved(name, _layers(opened), tuple(seconds))


def _layers(image: Image) -> tuple[Layer, ...]:
    return tuple(Layer(each.digest, each.packed, each.bytes) for each in image.layers)
