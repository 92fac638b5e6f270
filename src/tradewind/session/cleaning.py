"""`clean`: end every lease that a driver took and did not end, whatever became of the driver.

What a run on this machine left is known by the mark of its processes, what it left at EC2 by its ledger and
the driver's tag. Both are written before anything is rented, so there is no moment at which a kill leaves
something that cannot be found. Cleaning twice is cleaning once.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from tradewind import clock
from tradewind.data.runs import RUNNING, Run, RunIndex, process_identity
from tradewind.errors import Misuse
from tradewind.providers import local_leftovers
from tradewind.providers.aws.client import Ec2
from tradewind.providers.aws.requests import DRIVER, Request
from tradewind.providers.aws.sightings import Sighting
from tradewind.providers.aws.sweeping import SETTLE, find, sweep
from tradewind.providers.ledger import LEDGER, Account, Closed, Ledger, accounts
from tradewind.session.advise_records import PROBES

LOGS = "logs"
"""The folder in a run's that the local provider works in."""


class Leftover(Struct, frozen=True):
    """Something that was still held."""

    provider: str
    id: str
    """A process's number, or an instance's id."""
    what: str
    """Its command, or its type and zone."""
    driver: str
    """The run's folder, or the driver's tag."""


class Cleaned(Struct, frozen=True, kw_only=True):
    """What a cleaning came to."""

    ended: tuple[Leftover, ...] = ()
    """What was ended; of a dry run, what would be."""
    left: tuple[Leftover, ...] = ()
    """What was left alone, because its driver lives or may live."""
    plan: tuple[Request, ...] = ()
    """The requests that ended it, or would."""
    uncertain: bool = False
    """Whether of some that was left alone nobody here can say whether its driver lives."""
    dry_run: bool = False


def driver_name() -> str:
    """A name for this process as a driver, which no other driver ever has; a tag's value at EC2.

    It says on which machine and in which process the driver is, so that it can be told whether it lives.
    """
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:60]
    return f"{host}/{os.getpid()}/{process_identity(os.getpid())}/{secrets.token_hex(6)}"


def lives(driver: str) -> bool | None:
    """Whether the driver of that name lives; None where it is of another machine, or of an earlier boot.

    Machines may have the same name; the boot tells them apart.
    """
    parts, ours = driver.split("/"), driver_name().split("/")
    if len(parts) != len(ours) or parts[0] != ours[0] or not parts[1].isdigit():
        return None
    if parts[2].partition(":")[0] != ours[2].partition(":")[0]:
        return None
    return process_identity(int(parts[1])) == parts[2]


def clean_run(
    directory: Path, *, force: bool = False, dry_run: bool = False, wait: float = SETTLE
) -> Cleaned:
    """End everything that the run in `directory` still holds.

    `wait` is for how many seconds EC2 is watched for what a request without an answer may have rented.
    Raises Misuse while the run's driver lives, unless `force`; Temporary, Permanent or Misuse if EC2 does not
    let us.
    """
    if not directory.is_dir():
        raise Misuse("there is no such run", source=str(directory), fix="See: tradewind runs")
    told = accounts(directory / LEDGER)
    driving = _driving(directory, told)
    if driving and not force:
        raise Misuse(
            f"{driving} is driving it",
            source=str(directory),
            fix="Stop it first, or use --force; it may rent again.",
        )
    held = (directory / LOGS, directory / PROBES)
    found = [each for place in held for each in local_leftovers.leftovers(place)]
    if not dry_run:
        found = [each for place in held for each in local_leftovers.end(place)] or found
    local = tuple(Leftover("local", str(each.pid), each.command, directory.name) for each in found)
    done = [Cleaned(ended=local, dry_run=dry_run)]
    for account in told:
        if account.opened.provider == "aws" and not account.closed:
            done.append(clock.run(_clean_account(account, dry_run, wait)))
            if not dry_run:
                closed = Closed(at=clock.wall(), driver=account.opened.driver)
                Ledger(directory / LEDGER).write(closed)
    return _together(done, dry_run)


def clean_runs(root: Path, *, dry_run: bool = False, wait: float = SETTLE) -> Cleaned:
    """End what the runs in `root` hold whose drivers are gone; those that are driven are let be."""
    if not root.is_dir():
        return Cleaned(dry_run=dry_run)
    # A folder with a ledger counts, whether or not the record of runs knows of it.
    folders = {path.parent.resolve() for path in root.glob(f"*/{LEDGER}")}
    if (root / "index.sqlite").exists():
        folders |= {Path(run.directory) for run in RunIndex(root).list()}
    done = []
    for folder in sorted(folders):
        if not folder.is_dir():
            continue
        if driving := _driving(folder, accounts(folder / LEDGER)):
            done.append(Cleaned(left=(Leftover("run", folder.name, driving, folder.name),)))
        else:
            done.append(clean_run(folder, dry_run=dry_run, wait=wait))
    return _together(done, dry_run)


def clean_region(
    region: str,
    *,
    endpoint_url: str = "",
    profile: str = "",
    force: bool = False,
    dry_run: bool = False,
    wait: float = SETTLE,
) -> Cleaned:
    """End every instance in an AWS region that any driver of ours rented, with or without its run's folder.

    Without `force` those of a driver that lives are let be, and those of a driver on another machine, of
    which nobody here can say.
    """
    if not re.fullmatch(r"[a-z0-9-]+", region):
        raise Misuse(f"{region!r} is no region", field="--region", fix="Give one such as us-east-1.")
    return clock.run(_clean_region(region, endpoint_url, profile, force, dry_run, wait))


async def _clean_account(account: Account, dry_run: bool, wait: float) -> Cleaned:
    opened = account.opened
    ec2 = Ec2(opened.region, endpoint_url=opened.endpoint_url, profile=opened.profile)
    # What was asked for without an answer, or granted a moment before the kill, may show a little later.
    settle = wait if account.unanswered or account.held else 0.0
    try:
        swept = await sweep(ec2, {DRIVER: opened.driver}, settle=settle, dry_run=dry_run)
    finally:
        ec2.close()
    return Cleaned(ended=tuple(map(_leftover, swept.found)), plan=swept.plan, dry_run=dry_run)


async def _clean_region(
    region: str, endpoint_url: str, profile: str, force: bool, dry_run: bool, wait: float
) -> Cleaned:
    ec2 = Ec2(region, endpoint_url=endpoint_url, profile=profile)
    try:
        live = await find(ec2, {DRIVER: "*"})
        drivers = sorted({each.driver for each in live})
        done, spared = [], []
        uncertain = False
        for driver in drivers:
            alive = lives(driver)
            if alive is False or force:
                swept = await sweep(
                    ec2, {DRIVER: driver}, settle=0.0 if dry_run else wait / len(drivers), dry_run=dry_run
                )
                done.append(Cleaned(ended=tuple(map(_leftover, swept.found)), plan=swept.plan))
            else:
                uncertain |= alive is None
                spared += [_leftover(each) for each in live if each.driver == driver]
    finally:
        ec2.close()
    done.append(Cleaned(left=tuple(spared), uncertain=uncertain))
    return _together(done, dry_run)


def _driving(directory: Path, told: Sequence[Account]) -> str:
    """Who drives the run now, in words; empty for nobody that is known of."""
    record = _record(directory)
    if record is not None and record.state == RUNNING:
        return f"process {record.pid}"
    for account in told:
        if not account.closed and lives(account.opened.driver):
            return f"the driver {account.opened.driver}"
    return ""


def _record(directory: Path) -> Run | None:
    """The run's line in the record of runs beside it, if there is one."""
    root = directory.resolve().parent
    if not (root / "index.sqlite").exists():
        return None
    return next((run for run in RunIndex(root).list() if run.directory == str(directory.resolve())), None)


def _leftover(seen: Sighting) -> Leftover:
    return Leftover("aws", seen.id, f"{seen.type}@{seen.zone} {seen.state}", seen.driver)


def _together(parts: Sequence[Cleaned], dry_run: bool) -> Cleaned:
    return Cleaned(
        ended=tuple(each for part in parts for each in part.ended),
        left=tuple(each for part in parts for each in part.left),
        plan=tuple(each for part in parts for each in part.plan),
        uncertain=any(part.uncertain for part in parts),
        dry_run=dry_run,
    )
