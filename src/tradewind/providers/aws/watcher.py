"""The program on an EC2 instance that passes EC2's notices on to the driver.

    python -m tradewind.providers.aws.watcher [--group PROCESS_GROUP] [--every 5]

It reads the metadata service. A notice, or a rebalance recommendation, becomes a tag on the instance itself,
which the driver sees at its next look: nobody listens on the instance, and IAM says who may do it. The
instance needs a profile that allows ec2:CreateTags on itself. With `--group` a notice also becomes SIGTERM
to that process group, as on the local provider. Start it in the user data, beside the work.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence

from tradewind import clock
from tradewind.errors import Temporary
from tradewind.providers.aws.client import Ec2
from tradewind.providers.aws.metadata import ADDRESS, Metadata
from tradewind.providers.aws.requests import NOTICE, REBALANCE, create_tags
from tradewind.providers.aws.sightings import notice_tag

EVERY = 5.0
"""Seconds between two looks, as AWS advises."""


async def watch(metadata: Metadata, ec2: Ec2, *, group: int | None = None, every: float = EVERY) -> None:
    """Pass on what the metadata service tells, until an interruption was passed on.

    A service that does not answer is asked again. The group is signalled before the tag is written.
    """
    told: float | None = None
    while True:
        try:
            notice = await asyncio.to_thread(metadata.interruption)
            hint = await asyncio.to_thread(metadata.rebalance)
            if notice is not None and group is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGTERM)
                group = None
            tags: dict[str, str] = {}
            if hint is not None and hint != told:
                tags[REBALANCE] = clock.iso(hint)
            if notice is not None:
                tags[NOTICE] = notice_tag(notice.due, clock.now())
            if tags:
                instance = await asyncio.to_thread(metadata.instance)
                await ec2.ask(create_tags(instance, tags), patience=every)
                told = hint
            if notice is not None:
                return
        except Temporary as problem:
            sys.stderr.write(f"tradewind watcher: {problem}\n")
        await clock.sleep_until(clock.now() + every)


def main(arguments: Sequence[str] | None = None) -> int:
    """Watch until a notice was passed on; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tradewind.providers.aws.watcher", description=__doc__)
    parser.add_argument("--group", type=int, default=None, help="the process group to give notice to")
    parser.add_argument("--every", type=float, default=EVERY, help="seconds between two looks")
    parser.add_argument("--metadata", default=ADDRESS, help="where the metadata service is")
    parser.add_argument("--endpoint-url", default="", help="another address for EC2, for a stand-in")
    options = parser.parse_args(arguments)
    if not options.every > 0:
        parser.error("--every: give seconds above 0, such as 5")

    async def run() -> None:
        metadata = Metadata(options.metadata)
        while True:  # the service may be up a moment after us
            try:
                region = await asyncio.to_thread(metadata.region)
                break
            except Temporary:
                await clock.sleep_until(clock.now() + options.every)
        ec2 = Ec2(region, endpoint_url=options.endpoint_url)
        await watch(metadata, ec2, group=options.group, every=options.every)

    clock.run(run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
