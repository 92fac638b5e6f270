"""The seam between a model version in service and whoever keeps its replicas up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tradewind.serving.models.opening import Opening
from tradewind.serving.server.batcher import Batcher
from tradewind.serving.server.replicas.interface import Replica


class Crew(Protocol):
    """The replicas of one model version, each joined to its batcher once it can run."""

    @property
    def up(self) -> int:
        """Replicas that can run batches, or are running one."""
        ...

    @property
    def starting(self) -> int:
        """Replicas that are coming up."""
        ...

    @property
    def memory(self) -> int:
        """Bytes of all replicas together."""
        ...

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """Those that are up."""
        ...

    def begin(self, first: Replica) -> None:
        """Begin; `first` is open, and was asked what the model takes. It is the crew's from now on."""
        ...

    def resize(self, count: int) -> None:
        """Keep `count` replicas from now on."""
        ...

    def lost(self, replica: Replica) -> None:
        """A replica that was up is gone."""
        ...

    async def close(self) -> None:
        """Let go of every replica; what they have in hand was waited for by the batcher."""
        ...


class Hiring(Protocol):
    """Who finds replicas where the engine does not keep them itself."""

    def crew(
        self, name: str, version: str, opening: Opening, batcher: Batcher, said: Callable[[str], None]
    ) -> Crew:
        """The crew of a model version that was opened. `said` is told in words of losses."""
        ...
