"""A trial: one setting of the hyper-parameters, and what training with it has shown so far."""

from __future__ import annotations

from msgspec import Struct

Value = bool | int | float | str | None
Setting = dict[str, Value]
"""Values of hyper-parameters by name; those whose condition does not hold are left out."""

WAITING, RUNNING, PAUSED = "waiting", "running", "paused"
COMPLETED, STOPPED, FAILED = "completed", "stopped", "failed"
OPEN = (WAITING, RUNNING, PAUSED)
"""States from which a trial goes on."""


class Trial(Struct, frozen=True):
    """What is known of a trial at a moment. Losses are such that less is better, whatever the objective."""

    number: int
    setting: Setting
    state: str = RUNNING
    steps: tuple[int, ...] = ()
    """The steps that were reported, rising."""
    losses: tuple[float, ...] = ()
    """The loss at each of them; nan where the objective gave none."""
    final: float | None = None
    """The loss of a finished trial."""
    dollars: float = 0.0
    """US dollars spent on it so far."""
    seconds: float = 0.0
    """Seconds of training so far."""
    parent: int | None = None
    """The trial from whose checkpoint it began."""
    foreign: str = ""
    """The study that it is from, where it is not this one's."""
    identical: bool = False
    """Whether that study had the same data and algorithm, so that its losses count as this one's."""

    @property
    def loss(self) -> float | None:
        """The final loss, or else the last one reported."""
        if self.final is not None:
            return self.final
        return self.losses[-1] if self.losses else None

    def loss_at(self, step: int) -> float | None:
        """The last loss reported at or before `step`."""
        found = None
        for at, loss in zip(self.steps, self.losses, strict=True):
            if at > step:
                break
            found = loss
        return found
