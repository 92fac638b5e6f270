"""Moving shards between hosts: every change of AgileML's stages is one of these two (decision 0081).

AgileML: Harlap et al., EuroSys 2017, section 3. A change first draws an epoch, fences the shards with it,
has all of them end the same round, and has the backups take everything in. Then each shard that is to be
served elsewhere is fetched from its backup, the routing is published, and the shards are opened. A recovery
is the same without those who are lost: all go back to what is committed.

Until the routing is published the old places are the truth, from then on the new ones. So whoever dies in
the middle, another begins again with an epoch of its own and brings it to an end; what the first one may
still say is refused.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from tradewind.clock import stopwatch
from tradewind.errors import Misuse, Temporary, Unreachable
from tradewind.state import messages as says
from tradewind.state.lines import Lines, ask
from tradewind.state.link import Elsewhere, RolledBack
from tradewind.state.routing import StateRouting
from tradewind.state.snapshot import WorkerRecord, least

_LONGEST = 120.0
"""Seconds of the wall after which a shard that does not arrive, or is not backed up, counts as lost."""


class Standing(Struct, frozen=True):
    """Where a shard stands by what is in its tables."""

    rounds: int
    workers: tuple[WorkerRecord, ...]
    bulk: bool


class Placement(Struct, frozen=True):
    """What a change of places found and did."""

    routing: StateRouting
    left: tuple[Standing, ...]
    """Where each shard stands now."""
    seen: tuple[Standing, ...]
    """Where those that were not lost stood before."""
    lost: tuple[int, ...]
    """Shards that went back to their backups."""


class Known(Struct, frozen=True):
    """The furthest that a controller has seen a state."""

    rounds: int = 0
    clocks: tuple[int, ...] = ()
    """Of the workers."""


def clocks_lost(placement: Placement, known: Known) -> int:
    """By how much the state went back, from the furthest that survivors or the controller had seen."""
    if placement.left[0].bulk:
        furthest = max([known.rounds, *(standing.rounds for standing in placement.seen)])
        return max(0, furthest - placement.left[0].rounds)
    most = 0
    for shard in placement.lost:
        for worker, record in enumerate(placement.left[shard].workers):
            seen = [standing.workers[worker].clock for standing in placement.seen]
            furthest = max([*seen, *known.clocks[worker : worker + 1]], default=record.clock)
            most = max(most, furthest - record.clock)
    return most


class _Drawn(Struct, frozen=True):
    epoch: int
    broken: bool
    routing: StateRouting


def change(lines: Lines, serving: Sequence[str]) -> Placement:
    """Have `serving` serve the shards; everything that was taken in stays in.

    Unreachable, with the old places still in force, names a host that is silent: `recover` without it.
    """
    drawn = _draw(lines, serving)
    if drawn.broken:
        return _recovered(lines, drawn, serving, ())
    places = drawn.routing.serving
    standings = _closed(lines, drawn.epoch, places)
    _flush(lines, drawn.epoch, dict(enumerate(places)))
    kept = {shard for shard, address in enumerate(places) if address == serving[shard]}
    routing = _place(lines, drawn, serving, kept, standings, places)
    return Placement(routing, tuple(standings), tuple(standings), ())


def recover(lines: Lines, serving: Sequence[str]) -> Placement:
    """As `change`, when hosts were lost: none of `serving`, and whoever is not in it is not asked."""
    drawn = _draw(lines, serving)
    if drawn.routing.serving == drawn.routing.backups:
        # the reliable host serves them all: there is nothing to go back to
        standings = _closed(lines, drawn.epoch, drawn.routing.serving)
        kept = {shard for shard, address in enumerate(serving) if address == lines.address}
        routing = _place(lines, drawn, serving, kept, standings, serving)
        return Placement(routing, tuple(standings), tuple(standings), ())
    survivors = [
        shard for shard, address in enumerate(drawn.routing.serving) if address in serving
    ]  # fmt: skip
    return _recovered(lines, drawn, serving, () if drawn.broken else survivors)


def _recovered(lines: Lines, drawn: _Drawn, serving: Sequence[str], survivors: Sequence[int]) -> Placement:
    places = drawn.routing.serving
    seen: dict[int, Standing] = {}
    for shard in survivors:
        try:
            fenced = ask([lines.to(places[shard], shard)], [says.Fence(drawn.epoch)])
            seen[shard] = _standing(fenced[0][0])
        except RolledBack:
            continue  # a host came back at that address and knows nothing of it
    bulk = any(standing.bulk for standing in seen.values())
    if not bulk:
        # what is in stays in: only the shards that are lost go back
        _flush(lines, drawn.epoch, {shard: places[shard] for shard in seen})
    cut = lines.register(says.Cut(drawn.epoch))[0]["shards"]
    standings = [_standing(value) for value in cut]
    kept = set()
    for shard, standing in seen.items():
        if standing.rounds == standings[shard].rounds and places[shard] == serving[shard]:
            kept.add(shard)
            standings[shard] = standing
    if bulk:
        for shard in kept:
            clocks = [record.clock for record in standings[shard].workers]
            told = says.CloseOut(drawn.epoch, standings[shard].rounds, clocks)
            closed = ask([lines.to(places[shard], shard)], [told])
            standings[shard] = _standing(closed[0][0])
    routing = _place(lines, drawn, serving, kept, standings, serving)
    lost = tuple(shard for shard in range(len(places)) if shard not in seen)
    return Placement(routing, tuple(standings), tuple(seen.values()), lost)


def _draw(lines: Lines, serving: Sequence[str]) -> _Drawn:
    drawn = msgspec.convert(lines.register(says.Draw(uuid.uuid4().hex))[0], _Drawn)
    shards = len(drawn.routing.serving)
    reliable = [address == lines.address for address in serving]
    if len(serving) != shards:
        raise Misuse(
            f"{len(serving)} addresses for {shards} shards",
            field="serving",
            fix="Give one a shard; an address may be there more than once.",
        )
    if any(reliable) and not all(reliable):
        raise Misuse(
            "some shards on the reliable host and some on others",
            field="serving",
            fix="Give all of them to it, or none.",
        )
    return drawn


def _closed(lines: Lines, epoch: int, places: Sequence[str]) -> list[Standing]:
    """Fence all shards and bring them to the end of one round."""
    try:
        fenced = [_standing(value) for value, _ in lines.every(places, says.Fence(epoch))]
        furthest = max(fenced, key=lambda standing: standing.rounds)
        clocks = [record.clock for record in furthest.workers]
        told = says.CloseOut(epoch, furthest.rounds, clocks)
        return [_standing(value) for value, _ in lines.every(places, told)]
    except RolledBack as refusal:
        raise _refused(refusal) from refusal


def _refused(refusal: RolledBack) -> Temporary:
    """What it means that a shard does not do what it is told."""
    if isinstance(refusal, Elsewhere):
        return Unreachable(str(refusal))
    return Temporary("another change of places has begun")


def _flush(lines: Lines, epoch: int, places: dict[int, str]) -> None:
    """Wait until the backups have all that these shards have."""
    passed = stopwatch()
    waiting = dict(places)
    while waiting:
        links = [lines.to(address, shard) for shard, address in waiting.items()]
        try:
            answers = ask(links, [says.Flush(epoch)] * len(links))
        except RolledBack as refusal:
            raise _refused(refusal) from refusal
        for shard, (value, _) in zip(list(waiting), answers, strict=True):
            if value["flushed"]:
                del waiting[shard]
        if waiting:
            if passed() > _LONGEST:
                raise Unreachable(f"{next(iter(waiting.values()))} does not reach its backup")
            lines.pause()


def _place(
    lines: Lines,
    drawn: _Drawn,
    serving: Sequence[str],
    kept: set[int],
    standings: Sequence[Standing],
    living: Sequence[str],
) -> StateRouting:
    """From fenced shards whose backups have everything, to open ones at their new places."""
    try:
        _assign(lines, drawn, serving, kept)
        lines.register(says.Publish(drawn.epoch, list(serving)))
        workers = [least(each) for each in zip(*(standing.workers for standing in standings), strict=True)]
        lines.every(serving, says.Open(drawn.epoch, workers))
    except RolledBack as refusal:
        raise _refused(refusal) from refusal
    for shard, address in enumerate(drawn.routing.serving):
        if address in living and address not in (serving[shard], lines.address):
            _dismiss(lines, address, shard, drawn.epoch)
    lines.forget_all_but({lines.address, *serving})
    return lines.routing()


def _assign(lines: Lines, drawn: _Drawn, serving: Sequence[str], kept: set[int]) -> None:
    passed = stopwatch()
    waiting = {shard: address for shard, address in enumerate(serving) if address != lines.address}
    while waiting:
        links = [lines.to(address, shard) for shard, address in waiting.items()]
        told = [says.Assign(drawn.epoch, lines.address, shard in kept) for shard in waiting]
        for shard, (value, _) in zip(list(waiting), ask(links, told), strict=True):
            if value["ready"]:
                del waiting[shard]
        if waiting:
            if passed() > _LONGEST:
                raise Unreachable(f"{next(iter(waiting.values()))} does not fetch its shards")
            lines.pause()


def _dismiss(lines: Lines, address: str, shard: int, epoch: int) -> None:
    """Tell a host that it does not serve the shard any more; it may be gone already."""
    try:
        ask([lines.to(address, shard)], [says.Discard(epoch)])
    except (Unreachable, RolledBack):
        return


def _standing(value: dict[str, Any]) -> Standing:
    return msgspec.convert(value, Standing)
