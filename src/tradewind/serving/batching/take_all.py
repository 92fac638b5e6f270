"""Whatever waits goes, as soon as a replica is idle: the baseline that needs no setting."""

from __future__ import annotations

from tradewind.serving.batching.cutting import fitting
from tradewind.serving.batching.interface import WAIT, Choice, Queue


class TakeAll:
    """Work-conserving, in order of arrival, up to the largest batch; nothing is ever dropped.

    LitServe with `batch_timeout=0` and Triton with its default delay of 0 do the same.
    """

    name = "take_all"
    order = "arrival"

    def recall(self) -> None:
        """Nothing is remembered."""

    def decide(self, queue: Queue, memory: None) -> tuple[Choice, None]:
        """All that fits into a batch, if a replica is idle."""
        if not queue.idle or not queue.sizes:
            return WAIT, None
        return Choice(fitting(queue.sizes, queue.largest)), None
