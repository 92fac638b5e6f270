"""The line of an endpoint in the record of runs: state, URL, replicas and dollars, kept while it serves."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from msgspec.structs import replace

from tradewind.control.journal import Journal
from tradewind.control.records import Header
from tradewind.data.runs import DONE, FAILED, RunIndex, Serving, new_run_directory
from tradewind.errors import TradewindError
from tradewind.serving.provisioning.controller import Result
from tradewind.serving.provisioning.course import STANDING, Standing

UNNAMED = "endpoint"
"""What an endpoint is called that has no name fit for a folder."""
IN_TIME = "in time"
"""What an endpoint's quality is: the share of its requests."""
KEPT_EVERY = 2.0
"""Seconds of the wall between two changes of the line, at the least."""


class EndpointRecord:
    """An endpoint's folder under `root`, and its line in the record there, which is kept within `async with`.

    `name` is what the endpoint is to be called. `said` is told of a record that cannot be written; the
    endpoint serves on. Raises Corrupt where the record in `root` is none.
    """

    def __init__(self, root: str | Path, name: str, said: Callable[[str], None]) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name):
            name = UNNAMED
        self._index, self._said = RunIndex(root), said
        self.directory = new_run_directory(root, name)
        self._serving = Serving()
        self._run = self._index.begin(name, "", self.directory, self._serving).id
        self._standing: Standing | None = None
        self._kept: tuple[Serving, Standing | None] = self._serving, None
        self._result: Result | None = None
        self._over = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._keeping = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        self._over.set()
        if self._keeping is not None:
            await self._keeping  # a write that is under way must not come after the last one
        result, standing = self._result, self._standing
        values: dict[str, Any] = {} if standing is None else {"cost": standing.spent}
        if result is None:
            values |= {"state": FAILED, "reason": str(problem) or type(problem).__name__}
        else:
            values |= {"state": DONE, "reason": result.reason, "cost": result.cost, "seconds": result.seconds}
            if result.requests:
                values |= {"quality": result.share, "metric": IN_TIME}
        await self._update(endpoint=replace(self._serving, replicas=0), **values)

    def ready(self, url: str) -> None:
        """It answers at `url`."""
        self._serving = replace(self._serving, url=url)

    def stands(self, standing: Standing) -> None:
        """How it stands; from any thread."""
        self._standing = standing

    def came_to(self, result: Result) -> None:
        """It is over, and did not fail."""
        self._result = result

    async def _keep(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), KEPT_EVERY)
                return
            standing = self._standing
            if standing is not None:
                self._serving = replace(self._serving, replicas=sum(each.up for each in standing.held))
            if (self._serving, standing) != self._kept:
                spent = {} if standing is None else {"cost": standing.spent}
                if await self._update(endpoint=self._serving, **spent):
                    self._kept = self._serving, standing

    async def _update(self, **values: Any) -> bool:
        """Write it in a thread: others may hold the file for a while, and requests are not to wait for it."""
        try:
            await asyncio.to_thread(self._index.update, self._run, **values)
        except (TradewindError, OSError) as problem:
            self._said(f"the record of runs: {problem}")
            return False
        return True


class ToldJournal(Journal):
    """A journal that also hands on how the endpoint stands."""

    def __init__(
        self, path: Path, header: Header, told: Callable[[Standing], None], *, commit_every: int = 1
    ) -> None:
        super().__init__(path, header, commit_every=commit_every)
        self._told = told

    def record_measurement(self, moment: float, kind: str, measured: Any) -> None:
        """As a journal; a `Standing` is told besides."""
        super().record_measurement(moment, kind, measured)
        if kind == STANDING:
            self._told(measured)
