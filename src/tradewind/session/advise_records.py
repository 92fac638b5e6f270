"""What a run of `advise` writes down, and what follows from it: the same suggestions, again and again.

The order of the records is that of what happened: asked once; then for each probe suggested, and for each
attempt at it begun before anything is started and ended when nothing of it runs any more; over, when the
search is, with what is recommended.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from tradewind.advice.configuration.interface import AdvisingView
from tradewind.advice.configuration.recommendation import Recommendation
from tradewind.advice.configuration.runs import Corpus, Run
from tradewind.advice.configuration.space import Configuration, ConfigurationSpace
from tradewind.advice.measuring.interface import INTERRUPTED
from tradewind.data.record_lines import RecordLines
from tradewind.errors import Corrupt, Misuse
from tradewind.session.advise_spec import AdviseSpec

RECORDS, PROBES = "advice.jsonl", "probes"
"""The file's name in a run's folder."""


class Asked(Struct, frozen=True, tag="asked", kw_only=True):
    """What was asked, with all that was read for it."""

    version: str
    spec: AdviseSpec
    configurations: tuple[Configuration, ...]
    types: Mapping[str, str] = {}
    earlier: tuple[Run, ...] = ()
    corpus: Mapping[str, tuple[Run, ...]] = {}
    told: str = ""
    """How probes are made, in words."""
    notes: tuple[str, ...] = ()


class Suggested(Struct, frozen=True, tag="suggested", kw_only=True):
    """The advisor's next probe, by the configuration's name."""

    configuration: str
    reason: str
    limit: float | None = None


class Begun(Struct, frozen=True, tag="begun", kw_only=True):
    """An attempt is about to be started."""

    attempt: str
    configuration: str
    at: float
    """The wall's moment."""
    limit: float | None = None
    at_limit: str = ""


class Ended(Struct, frozen=True, tag="ended", kw_only=True):
    """An attempt is over, and nothing of it runs."""

    attempt: str
    configuration: str
    at: float
    status: str
    """One of `ENDS`, or `interrupted`, after which the probe is made again."""
    seconds: float
    dollars: float
    """Of the run, at the candidate's price."""
    words: str = ""
    seen: Mapping[str, float] = {}
    charged: float | None = None
    """Of its lease, where there was one: what it cost to know."""

    @property
    def paid(self) -> float:
        """US dollars that the attempt is off the budget."""
        return self.dollars if self.charged is None else self.charged


class Over(Struct, frozen=True, tag="over", kw_only=True):
    """The search is over."""

    at: float
    reason: str
    recommendation: Recommendation | None = None


Record = Asked | Suggested | Begun | Ended | Over


class History(Struct, frozen=True):
    """The records of a run so far."""

    asked: Asked
    records: tuple[Record, ...] = ()
    """Those after it."""

    def and_then(self, record: Record) -> History:
        """With one more."""
        return History(self.asked, (*self.records, record))

    @property
    def ended(self) -> tuple[Ended, ...]:
        """Every attempt that is over."""
        return tuple(each for each in self.records if isinstance(each, Ended))

    @property
    def probes(self) -> tuple[Ended, ...]:
        """The attempts that tell something, in their order."""
        return tuple(each for each in self.ended if each.status != INTERRUPTED)

    @property
    def spent(self) -> float:
        """US dollars of all attempts; past runs were paid for before."""
        return sum(each.paid for each in self.ended)

    @property
    def left(self) -> float | None:
        """US dollars of the budget that are not spent."""
        budget = self.asked.spec.budget
        return None if budget is None else budget - self.spent

    @property
    def suggested(self) -> Suggested | None:
        """The suggestion that no attempt has answered yet."""
        for each in reversed(self.records):
            if isinstance(each, Ended) and each.status != INTERRUPTED:
                return None
            if isinstance(each, Suggested):
                return each
        return None

    @property
    def begun(self) -> Begun | None:
        """The attempt whose end nobody wrote down."""
        last = next((each for each in reversed(self.records) if isinstance(each, Begun | Ended)), None)
        return last if isinstance(last, Begun) else None

    @property
    def over(self) -> Over | None:
        """How the search ended."""
        last = self.records[-1] if self.records else None
        return last if isinstance(last, Over) else None

    @property
    def view(self) -> AdvisingView:
        """All that the advisor may know now. What attempts have cost beside their runs is off the budget."""
        asked = self.asked
        space = ConfigurationSpace(asked.configurations, "candidates")
        probes = tuple(
            Run(space.number(each.configuration), each.seconds, each.dollars, each.status, each.seen)
            for each in self.probes
        )
        budget = asked.spec.budget
        if budget is not None:
            budget += sum(run.dollars for run in asked.earlier)
            budget -= self.spent - sum(run.dollars for run in probes)
        return AdvisingView(
            space,
            asked.spec.objective,
            (*asked.earlier, *probes),
            Corpus(asked.corpus),
            None if asked.spec.current is None else space.number(asked.spec.current),
            asked.spec.recurrences,
            budget,
            asked.spec.time_limit,
            asked.spec.seed,
        )


def history_in(directory: Path) -> History:
    """The records of the run in a folder. Raises Misuse if there are none, Corrupt for altered ones."""
    path = directory / RECORDS
    lines = RecordLines(path).read()
    if not lines:
        raise Misuse(
            "no advice was asked there", source=str(directory), fix="Name the folder of a run of advise."
        )
    try:
        first, *rest = (msgspec.json.decode(line, type=Record) for line in lines)
    except msgspec.ValidationError as problem:
        raise Corrupt(f"{path}: {problem}") from None
    if not isinstance(first, Asked):
        raise Corrupt(f"{path}: it does not begin with what was asked")
    return History(first, tuple(rest))
