"""What the history of a study has said so far, as its rules are to see it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from tradewind.data.trial_records import ADDED, FINISHED, NOTED, Event, StoredTrial, Trials
from tradewind.tuning.earlier_studies import EarlierStudies
from tradewind.tuning.trial import FAILED, Trial

_IN_PLACE = re.compile(r"in place of trial (\d+): ")


def in_place_of(number: int, reason: str) -> str:
    """Why a trial was added that another one became."""
    return f"in place of trial {number}: {reason}"


class StudyRecord:
    """The trials of a study and of the earlier ones it began with; it follows the history as that grows.

    Args:
        sign: -1 where values are better the greater they are.
    """

    def __init__(self, sign: float) -> None:
        self.trials, self.earlier = Trials(), EarlierStudies()
        self.began: float | None = None
        """The moment of the first event."""
        self.heirs: dict[int, str] = {}
        """Trials that became others, and why."""
        self.said: list[str] = []
        """What notes say to the user, each under `said`."""
        self._sign = sign
        self._views: list[Trial] = []
        self._stale: set[int] = set()
        self._first = True
        self._failed, self._reason = 0, ""

    def follow(self, events: Sequence[Event], now: float) -> None:
        """Take in what arrived next."""
        if events and self.began is None:
            self.began = now if events[0].moment is None else events[0].moment
        self.trials.follow(events)
        self.earlier.follow(events)
        for event in events:
            if event.number is not None:
                self._stale.add(event.number)
            if event.kind == ADDED and (found := _IN_PLACE.match(event.text)):
                self.heirs[int(found[1])] = event.text[found.end() :]
            elif event.kind == NOTED and isinstance(said := event.document.get("said"), str):
                self.said.append(said)
            elif event.kind == FINISHED and not self._first:
                failed = event.document["state"] == FAILED
                self._failed, self._reason = (self._failed + 1 if failed else 0), event.text
        self._first = False

    def views(self) -> list[Trial]:
        """The study's own trials: less is better."""
        for number in sorted(self._stale):  # numbers are given from 0 without gaps
            view = self._view(self.trials[number])
            if number == len(self._views):
                self._views.append(view)
            else:
                self._views[number] = view
        self._stale.clear()
        return list(self._views)

    def passed(self, now: float) -> float:
        """Seconds since the study began."""
        return 0.0 if self.began is None else max(now - self.began, 0.0)

    def hopeless(self, most: int | None) -> str:
        """What is wrong, where `most` trials failed one after another since this record began; else empty.

        Those before do not count: who begins anew has perhaps mended what they failed for.
        """
        if most is None or self._failed < most:
            return ""
        return f"{self._failed} trials failed one after another, the last for: {self._reason}"

    def _view(self, trial: StoredTrial) -> Trial:
        return Trial(
            trial.number, trial.setting, trial.state, trial.steps, self._losses(trial.values),
            None if trial.final is None else self._losses((trial.final,))[0],
            trial.dollars, trial.seconds, trial.parent,
        )  # fmt: skip

    def _losses(self, values: tuple[float, ...]) -> tuple[float, ...]:
        """Nothing is infinitely good: a value that claims so is none."""
        losses = values if self._sign > 0 else tuple([-value for value in values])
        if -math.inf in losses:
            return tuple(math.nan if loss == -math.inf else loss for loss in losses)
        return losses
