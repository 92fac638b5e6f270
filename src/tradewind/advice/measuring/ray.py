"""Probes on the nodes of a Ray cluster: an actor each, with the candidate's processors and memory.

The actor measures as `local` does on its node, so limits are kept by us, and Ray keeps others off. It hears
from its driver all the time; when it has not for some seconds, because the driver was killed, it ends the
command. This package and the command's folder must be there on every node.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tradewind import clock
from tradewind.advice.measuring.interface import Measured, Order, Room
from tradewind.advice.measuring.keeper import ALIVE, GONE, End
from tradewind.advice.measuring.local import LocalMeasurer, so_far
from tradewind.errors import Misuse
from tradewind.market.measured_runs import FAILED
from tradewind.providers.ray_cluster import connected

_NAMESPACE = "tradewind"
_LOOK = 0.2
_PATIENCE = 10.0
"""Seconds that an actor whose driver is gone is waited for."""
_SILENCE = 5.0
"""Seconds without a word from the driver after which an actor ends what it measures."""


class RayMeasurer:
    """Runs each probe in an actor; `address` is what `ray.init` takes."""

    def __init__(self, address: str = "auto") -> None:
        self._address = address
        self._ray: Any = None
        self._ours = False

    @property
    def told(self) -> str:
        """In words: where runs are made, and how they are limited."""
        return "real runs on nodes of a Ray cluster, one at a time, limited in processors and memory"

    def check(self, name: str, room: Room, machines: float) -> None:
        """Raise Misuse for several machines, or where no node alive has so much; MissingExtra without Ray."""
        if machines != 1:
            raise Misuse(
                f"{name!r} has {machines:g} machines, and a probe on Ray has a part of one node",
                source="candidates",
                field="machines",
                fix="Give candidates of one machine each.",
            )
        self._connect()
        for node in self._ray.nodes():
            has = node["Resources"]
            if (
                node["Alive"]
                and has.get("CPU", 0) >= (room.cores or 0)
                and has.get("memory", 0) >= (room.memory or 0)
            ):
                return
        raise Misuse(
            f"no node of the cluster has what {name!r} has",
            source="candidates",
            field="vcpus",
            fix="Leave it out, or add such a node.",
        )

    def measure(self, order: Order, work: Path, stop: Callable[[], bool]) -> Measured:
        """Make the run on a node that has room for it; waits until one has."""
        ray = self._connect()
        folder = work / order.name
        folder.mkdir(parents=True, exist_ok=True)
        options: dict[str, Any] = {"num_cpus": order.room.cores or 1, "max_restarts": 0, "max_concurrency": 3}
        if order.room.memory is not None:
            options["memory"] = order.room.memory
        options.update(name=_name(order, work), namespace=_NAMESPACE)
        actor = ray.remote(RayProbe).options(**options).remote()
        passed: Callable[[], float] | None = None
        try:
            run, asked = actor.measure.remote(msgspec.json.encode(order)), False
            while not ray.wait([run], timeout=_LOOK)[0]:
                if stop() and not asked:
                    asked = True
                    actor.interrupt.remote()
                heard = ray.wait([actor.hear.remote()], timeout=_LOOK)[0]
                if passed is None and heard:
                    passed = clock.stopwatch()  # the actor is there
                if passed is not None:
                    (folder / ALIVE).write_bytes(msgspec.json.encode(End(GONE, None, passed())))
            found: Measured = msgspec.json.decode(ray.get(run), type=Measured)
        except ray.exceptions.RayError as problem:
            seconds = passed() if passed is not None else 0.0
            return Measured(
                max(seconds, 1e-6), FAILED, f"Ray lost it: {' '.join(str(problem).split())[:300]}"
            )
        finally:
            ray.kill(actor)
        return found

    def recover(self, order: Order, work: Path, stop: Callable[[], bool]) -> Measured | None:
        """How long an attempt had run when its driver last said so, once its actor is dead."""
        del stop  # an actor that has no driver ends within seconds
        folder = work / order.name
        if not folder.exists():
            return None
        ray, passed = self._connect(), clock.stopwatch()
        with contextlib.suppress(ValueError):  # there is no such actor any more
            while passed() < _PATIENCE:
                ray.kill(ray.get_actor(_name(order, work), namespace=_NAMESPACE))
                threading.Event().wait(_LOOK)
        return so_far(folder)

    def close(self) -> None:
        """Leave the cluster, if it was us who joined it."""
        if self._ours:
            self._ray.shutdown()
        self._ray, self._ours = None, False

    def _connect(self) -> Any:
        if self._ray is None:
            self._ray, self._ours = connected(self._address)
        return self._ray


class RayProbe:
    """The actor: measures once, and can be asked to stop meanwhile."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._silence = clock.stopwatch()

    def measure(self, order: bytes) -> bytes:
        """Make the run of an encoded order; the encoded measurement."""
        work = Path(tempfile.mkdtemp(prefix="tw-"))
        try:
            found = LocalMeasurer().measure(msgspec.json.decode(order, type=Order), work, self._over)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return msgspec.json.encode(found)

    def hear(self) -> None:
        """The driver is there."""
        self._silence = clock.stopwatch()

    def interrupt(self) -> None:
        """End the run."""
        self._stop.set()

    def _over(self) -> bool:
        return self._stop.is_set() or self._silence() > _SILENCE


def _name(order: Order, work: Path) -> str:
    return f"probe-{hashlib.blake2b(str(work.resolve()).encode(), digest_size=6).hexdigest()}-{order.name}"
