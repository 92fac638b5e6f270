"""Replicas on machines that somebody else rents: the front's side of them.

Whoever rents (`provisioning.process_service`) says of a machine that it is there, will leave, or is gone; the
front connects, has the model loaded there, and gives the replica batches until then. A batch that was in the
hands of a machine that was taken away is run elsewhere, as often as that happens; one whose model died on it
counts, as it does everywhere, so that a request which kills replicas does not kill them all.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tradewind.errors import Misuse
from tradewind.market.leases import LeaseId
from tradewind.serving.batching.interface import Latency
from tradewind.serving.models.opening import Opening
from tradewind.serving.server.batcher import Batcher
from tradewind.serving.server.crew import Crew
from tradewind.serving.server.replicas.interface import MachineLost, Replica, ReplicaLost, TookTooLong
from tradewind.serving.server.replicas.remote import Remote
from tradewind.serving.tensors import Tensors

VERDICT = 0.3
"""Seconds that a broken connection waits to be told whether the model or its machine is to blame. Who rents
mostly knows in milliseconds; where nobody knows by then, the machine is."""


class RentedReplica(Remote):
    """A replica on a lease, reached at an address; `task` is what whoever rents calls it."""

    def __init__(self, lease: LeaseId, task: str, *reached: Any, **limits: Any) -> None:
        super().__init__(*reached, **limits)
        self.lease, self.task = lease, task
        self._told = asyncio.Event()
        self._to_blame = False

    async def run(self, inputs: Tensors) -> Tensors:
        """The outputs for one batch; MachineLost unless the model itself is to blame for the loss."""
        try:
            return await super().run(inputs)
        except TookTooLong:
            raise
        except ReplicaLost as problem:
            if await self._died():
                raise
            raise MachineLost(f"its machine is gone: {problem}") from None

    async def _died(self) -> bool:
        try:
            async with asyncio.timeout(VERDICT):
                await self._told.wait()
        except TimeoutError:
            return False
        return self._to_blame

    def blame(self, model: bool) -> None:
        """It is known why the replica ended: by its model's fault, or with its machine."""
        if not self._told.is_set():
            self._to_blame = model
            self._told.set()


class RentedCrew:
    """The rented replicas of one model version; implements `Crew`. `dropped` is told of the task of a replica
    that the front gave up, and None where all are."""

    def __init__(
        self,
        opening: Opening,
        batcher: Batcher,
        dropped: Callable[[RentedCrew, str | None], None],
        said: Callable[[str], None] = lambda text: None,
        *,
        patience: float = 60.0,
        memory_limit: int = 0,
    ) -> None:
        path = os.path.abspath(opening.path) if opening.path else ""
        self._opening, self._batcher = replace(opening, path=path), batcher
        self._dropped, self._said = dropped, said
        self._patience, self._memory_limit = patience, memory_limit
        self._up: dict[str, RentedReplica] = {}
        self._opened: set[RentedReplica] = set()
        """Those that are connected to, or are being connected to."""
        self._work: set[asyncio.Task[None]] = set()
        self._starting = 0
        self._closed = False

    @property
    def up(self) -> int:
        """Replicas that can run batches, or are running one."""
        return len(self._up)

    @property
    def starting(self) -> int:
        """Replicas that are being connected to."""
        return self._starting

    @property
    def memory(self) -> int:
        """Bytes that they take on their machines, all together."""
        return sum(each.memory for each in self._up.values())

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """Those that are up."""
        return tuple(self._up.values())

    @property
    def retried(self) -> int:
        """Requests that were lost with a replica and given to another."""
        return self._batcher.retried

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return self._batcher.waiting

    @property
    def latency(self) -> Latency:
        """What batches were seen to take."""
        return self._batcher.learned.latency

    @property
    def largest(self) -> int:
        """Rows of a batch at most."""
        return self._batcher.largest

    def begin(self, first: Replica) -> None:
        """Let go of the first replica, which is this machine's: it has told what the model takes."""
        self._keep(first.close())

    def resize(self, count: int) -> None:
        """Never: Misuse, for a policy says how many there are."""
        raise Misuse(
            "its replicas are on rented machines, and a policy says how many there are", field="count",
            fix="Change the policy, or its options.",
        )  # fmt: skip

    async def hire(
        self, lease: LeaseId, task: str, address: str, token: str, within: float, identity: str = ""
    ) -> None:
        """Connect to a replica on a lease and have the model loaded there, within so many seconds; it runs
        batches from then on. Raises what opening it raises."""
        replica = RentedReplica(
            lease, task, address, token, self._opening, patience=self._patience, start_within=within,
            memory_limit=self._memory_limit, identity=identity,
        )  # fmt: skip
        self._starting += 1
        self._opened.add(replica)
        try:
            await replica.open()
            if self._closed or replica not in self._opened:
                raise ReplicaLost("nobody wants it any more")
        except BaseException:
            self._opened.discard(replica)
            await replica.close()
            raise
        finally:
            self._starting -= 1
        self._up[task] = replica
        self._batcher.join(replica)

    async def let_go(self, task: str) -> None:
        """Give a replica nothing more; returns when its last answer is out. Silent for one that is gone."""
        replica = self._up.pop(task, None)
        if replica is not None:
            await self._batcher.leave(replica)
            await self._disconnect(replica)

    def gone(self, task: str, *, model: bool) -> None:
        """A replica has ended: by its model's fault, or else with its machine."""
        for replica in [each for each in self._opened if each.task == task]:
            replica.blame(model)
            if self._up.pop(task, None) is not None:
                self._said(f"the replica on {replica.lease} is gone")
                self._keep(self._batcher.leave(replica))
            self._keep(self._disconnect(replica))

    def lost(self, replica: Replica) -> None:
        """The batcher found a replica gone, or spent: whoever rents ends what is left of it."""
        if isinstance(replica, RentedReplica) and self._up.pop(replica.task, None) is not None:
            self._said(f"the replica on {replica.lease} was lost")
            self._keep(self._disconnect(replica))
            self._dropped(self, replica.task)

    async def close(self) -> None:
        """Let go of all."""
        self._closed = True
        self._dropped(self, None)
        up, self._up = self._up, {}
        for replica in up.values():
            await self._batcher.leave(replica)
        for replica in list(self._opened):
            await self._disconnect(replica)
        while self._work:
            await asyncio.wait(self._work)

    async def _disconnect(self, replica: RentedReplica) -> None:
        self._opened.discard(replica)
        await replica.close()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)


class Weight(Struct, frozen=True):
    """What a request to a model counts for, in requests to the one that machines sustain fewest of."""

    rate: float = 1.0
    """Of those that come in a second."""
    in_hand: float = 1.0
    """Of those in hand at a time."""


_EVEN = Weight()


class RentedCrews:
    """Implements `Hiring`: the crews of every model version that is open. `Listener` hears of them, on the
    loop of the front."""

    def __init__(self, *, patience: float = 60.0, memory_limit: int = 0) -> None:
        self._patience, self._memory_limit = patience, memory_limit
        self._crews: list[RentedCrew] = []
        self._named: dict[RentedCrew, tuple[str, str]] = {}
        self._weights: dict[tuple[str, str], Weight] = {}
        self.retried_before = 0
        """Requests given to another replica by crews that are closed."""
        self.came: Callable[[RentedCrew], None] = lambda crew: None
        """Told of a crew that wants replicas."""
        self.dropped: Callable[[RentedCrew, str | None], None] = lambda crew, task: None
        """Told of a replica (its task) that the front gave up; of None where its whole crew is closed."""

    @property
    def crews(self) -> tuple[RentedCrew, ...]:
        """Those that want replicas."""
        return tuple(self._crews)

    def weigh(self, sustains: Mapping[RentedCrew, tuple[float, float]]) -> None:
        """Take in what a machine sustains of each model alone: requests a second, and in hand at a time.

        Whatever the callers' mix, a machine with requests to several models is as busy as with those to one
        of them, each counted by its weight. So load is measured in requests to the model of which fewest are
        sustained; a model that is opened later counts like that one. Misuse where no model is open.
        """
        if not sustains:
            raise Misuse("no model is open", source="endpoint", fix="Name one that can be opened.")
        fewest, in_hand = min(sustains.values())
        for crew, (rate, held) in sustains.items():
            self._weights[self._named[crew]] = Weight(fewest / rate, in_hand / held)

    def weight(self, name: str, version: str) -> Weight:
        """What a request to a model counts for."""
        return self._weights.get((name, version), _EVEN)

    @property
    def retried(self) -> int:
        """Requests that were lost with a replica and given to another."""
        return self.retried_before + sum(each.retried for each in self._crews)

    @property
    def waiting(self) -> float:
        """Requests that wait, by their weights."""
        named = ((each, self._named.get(each, ("", ""))) for each in list(self._crews))
        return sum(each.waiting * self.weight(*name).rate for each, name in named)

    def crew(
        self, name: str, version: str, opening: Opening, batcher: Batcher, said: Callable[[str], None]
    ) -> Crew:
        """The crew of a model version; it gets a replica on every machine that is rented."""
        made = RentedCrew(
            opening, batcher, self._drop, said, patience=self._patience, memory_limit=self._memory_limit
        )
        self._crews.append(made)
        self._named[made] = (name, version)
        self.came(made)
        return made

    def _drop(self, crew: RentedCrew, task: str | None) -> None:
        if task is None and crew in self._crews:
            self._crews.remove(crew)
            self._named.pop(crew, None)
            self.retried_before += crew.retried
        self.dropped(crew, task)
