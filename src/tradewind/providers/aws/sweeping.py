"""Ending everything that has certain tags, until EC2 shows none of it alive."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from tradewind import clock
from tradewind.errors import Temporary
from tradewind.providers.aws.client import Ec2
from tradewind.providers.aws.requests import Request, instances, terminate
from tradewind.providers.aws.sightings import Sighting, sightings

LIVE = ("pending", "running", "stopping", "stopped")
"""What has to be ended; `shutting-down` ends by itself."""
SETTLE = 20.0
"""Seconds of the wall's for which nothing may come up before a request without an answer is taken to have
rented nothing: EC2 may show an instance some seconds after it was rented."""
PATIENCE = 180.0
"""Seconds of the wall's in which what was ended must show as ended."""
_EVERY = 1.0
_AT_ONCE = 100
"""Instances in one request."""


class Swept(Struct, frozen=True):
    """What was found alive and ended."""

    found: tuple[Sighting, ...]
    plan: tuple[Request, ...]
    """The requests sent, or that would have been."""


async def find(ec2: Ec2, tags: Mapping[str, str]) -> list[Sighting]:
    """The live instances with these tags (`*` for any value)."""
    return sightings(await ec2.ask(instances(tags, states=LIVE)))


async def sweep(
    ec2: Ec2,
    tags: Mapping[str, str],
    *,
    settle: float = 0.0,
    every: float = _EVERY,
    patience: float = PATIENCE,
    dry_run: bool = False,
) -> Swept:
    """End every live instance with these tags, and look until none has been there for `settle` seconds.

    A dry run asks EC2 whether it would end what is there now, and ends nothing. Raises Temporary if something
    still lives after `patience` seconds of the wall's, or EC2 does not answer; what was ended stays so.
    """
    found: dict[str, Sighting] = {}
    plan: list[Request] = []
    passed = clock.stopwatch()
    quiet_since: float | None = None
    while True:
        live = await find(ec2, tags)
        for batch in _batches([each.id for each in live]):
            request = terminate(batch)
            await ec2.ask(request.dry() if dry_run else request)
            plan.append(request)
        found |= {each.id: each for each in live if each.id not in found}
        if dry_run:
            break
        if live:
            quiet_since = None
            if passed() > patience:
                ids = ", ".join(each.id for each in live)
                raise Temporary(f"{ec2.region}: still alive after {patience:g} s: {ids}", delay=30.0)
        else:
            quiet_since = passed() if quiet_since is None else quiet_since
            if passed() - quiet_since >= settle:
                break
        await clock.sleep_until(clock.now() + every * clock.speed())
    return Swept(tuple(found.values()), tuple(plan))


def _batches(ids: list[str]) -> list[list[str]]:
    return [ids[at : at + _AT_ONCE] for at in range(0, len(ids), _AT_ONCE)]
