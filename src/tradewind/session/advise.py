"""`advise`: a whole search for a configuration, from a spec or a call to what to run on, and a report."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tradewind import __version__, clock
from tradewind.advice.configuration.advice import Advice
from tradewind.advice.configuration.advisors import advisor
from tradewind.advice.configuration.interface import Advisor, Probe, Stop
from tradewind.advice.configuration.recommendation import Recommendation, recommended
from tradewind.advice.measuring.interface import INTERRUPTED, Measured, Measurer, Order, Quote
from tradewind.advice.measuring.local import environment_of
from tradewind.data.record_lines import RecordLines
from tradewind.data.runs import DONE, FAILED, PAUSED, RunIndex, new_run_directory
from tradewind.errors import Diverged, Misuse
from tradewind.market.measured_runs import STOPPED, TIMED_OUT
from tradewind.session.advise_candidates import Candidates, candidates_of, filled, room_of
from tradewind.session.advise_measuring import check_budget, measurer_of, payable, quotes_of
from tradewind.session.advise_outlook import Row, rows_of, settings_of, toml_of
from tradewind.session.advise_records import (
    PROBES,
    RECORDS,
    Asked,
    Begun,
    Ended,
    History,
    Over,
    Record,
    Suggested,
    history_in,
)
from tradewind.session.advise_spec import AdviseSpec, make_advise_spec
from tradewind.session.report.advice.page import write_advice_page
from tradewind.session.report.advice.reading import advice_data
from tradewind.session.stretch import heeding_interrupts

REPORT, SETTINGS = "report.html", "recommended.toml"
"""What a run's folder holds beside its records: the attempts, the page, and the tables for other specs."""
_TAKEN_BACK = 3
"""Attempts in a row that were taken from us, after which the candidate is not to be had."""
_EARLIER = (
    "{} past runs are of this workload, {} of {} others; {} are on configurations that are no candidates and "
    "were left out"
)


class Advised(Struct, frozen=True, kw_only=True):
    """What a search came to, this time and before."""

    outcome: str
    """`done`, `paused`, or `suggested` where nothing is run: a next probe is told then."""
    reason: str
    """Why it ended, or why the next probe."""
    next: str | None = None
    """The configuration to run next; None once the search is over."""
    recommendation: Recommendation | None
    """None where nothing is likely to work."""
    minimize: str
    rows: tuple[Row, ...]
    """What is known or believed of every candidate, the best first."""
    probes: int
    spent: float
    """US dollars of all attempts, those cut off by a kill or a pause as far as is known."""
    settings: dict[str, Any] = {}
    """The recommendation as fields of a spec for train and tune, such as `workers.count`."""
    directory: str = ""
    """The run's folder; empty where nothing was run."""
    notes: tuple[str, ...] = ()


Told = Callable[[str], None]


def advise(what: AdviseSpec | None = None, *, console: Told | None = None, **options: Any) -> Advised:
    """Find what to run on; returns when that is known, or paused by Ctrl-C.

    `what` is a spec, or the fields of one are options: `advise(command=["python", "job.py"],
    sizes={"vcpus": [1, 2], "per_vcpu_hour": 0.04}, budget=1.0)`. With past runs and no command nothing is
    run, and what to run next is told. Misuse before anything is run, for whatever is wrong in it.
    """
    if what is None:
        what = make_advise_spec(options)
    elif options:
        raise Misuse("a spec says everything itself", field=next(iter(options)), fix="Leave the rest out.")
    found = candidates_of(what)
    if what.command is None:
        return _from_the_record(History(_asked(what, found, "")))
    measurer = measurer_of(what, found.configurations, found.types, console)
    return _Search(History(_asked(what, found, measurer.told)), None, console, measurer).run()


def booking_quotes(what: AdviseSpec) -> tuple[Quote, ...]:
    """What a search at AWS would book for a probe of each candidate, and what that may cost; books nothing.

    EC2 checks a request for each type, and an object is put and got as an instance would. Misuse for whatever
    is wrong, and where nothing would be booked.
    """
    return quotes_of(what, candidates_of(what))


def resume_advice(directory: str | Path, *, console: Told | None = None) -> Advised:
    """Go on with a search that was paused or cut off; one that is over is told again.

    A probe that ran when its driver was killed is made again; what it has cost is charged as far as is known.
    """
    directory = Path(directory).absolute()
    history = history_in(directory)
    asked, measurer = history.asked, None
    if history.over is None:
        measurer = measurer_of(asked.spec, asked.configurations, asked.types, console)
    return _Search(history, directory, console, measurer).run()


def replay_advice(directory: str | Path) -> int:
    """Make every suggestion and the recommendation of a run's records again; how many there were.

    Raises Diverged at the first that is another, Corrupt if a record was altered.
    """
    whole = history_in(Path(directory))
    chosen = _advisor(whole.asked.spec)
    history, count = History(whole.asked), 0
    for record in whole.records:
        if isinstance(record, Suggested):
            _same(_next(history, chosen), record, history)
            count += 1
        if isinstance(record, Over):
            now = _next(history, chosen)
            _same(now.reason if isinstance(now, Stop) else now, record.reason, history)
            _same(recommended(history.view, chosen), record.recommendation, history)
            count += 1
        history = history.and_then(record)
    return count


class _Search:
    """One drive of a search."""

    def __init__(
        self, history: History, directory: Path | None, console: Told | None, measurer: Measurer | None
    ) -> None:
        """`measurer` is None where nothing is to be run any more."""
        self.history, self.directory = history, directory
        self.tell: Told = console or (lambda words: None)
        self.spec = history.asked.spec
        self.advisor = _advisor(self.spec)
        self._measurer = measurer
        self.stop = threading.Event()
        self.taken_back = 0

    def run(self) -> Advised:
        """Go on until it is over or paused, whatever was there before."""
        try:
            if self.directory is None:
                self._begin()
            return self._on()
        finally:
            if self._measurer is not None:
                self._measurer.close()

    def _begin(self) -> None:
        """Look at every candidate, then make the folder and write down what is asked."""
        for each in self.history.asked.configurations:
            assert self.spec.command is not None
            filled(self.spec.command, each)
            self.measurer.check(each.name, room_of(each), float(each.features.get("machines", 1)))
        check_budget(self.spec, self.history.asked.configurations)
        self.directory = new_run_directory(self.spec.out, self.spec.name).absolute()
        RecordLines(self.directory / RECORDS).append(self.history.asked)
        self.history = history_in(self.directory)  # as whoever resumes or replays will have it

    def _on(self) -> Advised:
        directory = self.directory
        assert directory is not None
        index = RunIndex(directory.parent)
        known = next((run for run in index.list() if run.directory == str(directory)), None)
        run = index.begin(self.spec.name, "", directory) if known is None else index.resume(known.id)
        self.records = RecordLines(directory / RECORDS)
        elapsed = clock.stopwatch()
        state = FAILED
        try:
            with heeding_interrupts(self.stop.set):
                if (lost := self.history.begun) is not None:
                    self._recover(lost)
                while self.history.over is None and not self.stop.is_set():
                    self._step()
            state = PAUSED if self.history.over is None else DONE
            found = told(self.history, self.advisor, directory)
            (directory / SETTINGS).write_text(toml_of(self.history, found.recommendation), encoding="utf-8")
            write_advice_page(advice_data(self.history, self.advisor), directory / REPORT)
            return found
        finally:
            spent = self.history.spent
            index.update(run.id, state=state, cost=spent, seconds=(run.seconds or 0.0) + elapsed())

    def _step(self) -> None:
        """One probe, or the end."""
        suggested = self.history.suggested
        if suggested is None or _unpaid(self.history, suggested) is not None:
            said = _next(self.history, self.advisor)
            if isinstance(said, Stop):
                best = recommended(self.history.view, self.advisor)
                self._write(Over(at=clock.wall(), reason=said.reason, recommendation=best))
                self.tell(said.reason)
                return
            suggested = said
            self._write(suggested)
        self._probe(suggested)

    def _probe(self, suggested: Suggested) -> None:
        number = len(self.history.probes) + 1
        view = self.history.view
        configuration = view.space[view.space.number(suggested.configuration)]
        limit, at_limit = self._limit(suggested, configuration.per_hour)
        begun = Begun(
            attempt=f"{number:03d}-{sum(isinstance(each, Begun) for each in self.history.records) + 1}",
            configuration=configuration.name,
            at=clock.wall(),
            limit=limit,
            at_limit=at_limit,
        )
        self._write(begun)
        self.tell(f"probe {number}, {configuration.name}: {suggested.reason}")
        found = self.measurer.measure(self._order(begun), self._work, self.stop.is_set)
        self.taken_back += 1
        if found.status != INTERRUPTED or self.stop.is_set():
            self.taken_back = 0
        elif self.taken_back >= _TAKEN_BACK:
            words = f"{found.words} It is given up after {self.taken_back} attempts in a row."
            found = replace(found, status=FAILED, words=words)
            self.taken_back = 0
        self._end(begun, found)

    def _recover(self, lost: Begun) -> None:
        """The driver was killed while an attempt ran: end what is left of it, and note what is known."""
        found = self.measurer.recover(self._order(lost), self._work, self.stop.is_set)
        if found is None:
            found = Measured(1e-6, INTERRUPTED, "It was not started.")
        self._end(lost, found)

    def _end(self, begun: Begun, found: Measured) -> None:
        view = self.history.view
        per_hour = view.space[view.space.number(begun.configuration)].per_hour
        dollars = per_hour * found.seconds / 3600
        self._write(
            Ended(
                attempt=begun.attempt,
                configuration=begun.configuration,
                at=clock.wall(),
                status=found.status,
                seconds=found.seconds,
                dollars=dollars,
                words=found.words,
                seen=found.seen,
                charged=found.charged,
            )
        )
        lease = "" if found.charged is None else f" (its lease: ${found.charged:.4g})"
        words = f"  {found.status} after {found.seconds:.3g} s, ${dollars:.4g}{lease}. {found.words}"
        self.tell(words.rstrip())

    def _limit(self, suggested: Suggested, per_hour: float) -> tuple[float | None, str]:
        """Seconds after which the probe is ended, and how it has ended then."""
        limits = [(self.spec.time_limit, TIMED_OUT), (suggested.limit, STOPPED)]
        if (left := self.history.left) is not None:
            limits.append((payable(left, per_hour, self.spec), STOPPED))
        known = [(limit, how) for limit, how in limits if limit is not None]
        return min(known, key=lambda each: each[0]) if known else (None, "")

    def _order(self, begun: Begun) -> Order:
        spec, space = self.spec, self.history.view.space
        configuration = space[space.number(begun.configuration)]
        assert spec.command is not None
        return Order(
            begun.attempt,
            filled(spec.command, configuration),
            str(Path(spec.folder).absolute()),
            {**environment_of(configuration.features, configuration.name), **spec.environment},
            room_of(configuration),
            begun.limit,
            begun.at_limit,
            begun.configuration,
        )

    @property
    def measurer(self) -> Measurer:
        assert self._measurer is not None
        return self._measurer

    @property
    def _work(self) -> Path:
        assert self.directory is not None
        return self.directory / PROBES

    def _write(self, record: Record) -> None:
        self.records.append(record)
        self.history = self.history.and_then(record)


def told(history: History, chosen: Advisor, directory: Path | None = None) -> Advised:
    """What a run has come to, from its records."""
    over = history.over
    best = recommended(history.view, chosen) if over is None else over.recommendation
    return Advised(
        outcome="paused" if over is None else "done",
        reason="It was asked to stop." if over is None else over.reason,
        recommendation=best,
        minimize=history.asked.spec.objective.minimize,
        rows=rows_of(history, chosen, best),
        probes=len(history.probes),
        spent=history.spent,
        settings=settings_of(history, best),
        directory="" if directory is None else str(directory),
        notes=(history.asked.told, *history.asked.notes),
    )


def _from_the_record(history: History) -> Advised:
    chosen = _advisor(history.asked.spec)
    advice = Advice(chosen, history.view)
    said = advice.suggest()
    best = advice.recommend()
    over = isinstance(said, Stop)
    return Advised(
        outcome="done" if over else "suggested",
        reason=said.reason,
        next=None if isinstance(said, Stop) else history.view.space[said.configuration].name,
        recommendation=best,
        minimize=history.asked.spec.objective.minimize,
        rows=rows_of(history, chosen, best),
        probes=0,
        spent=0.0,
        settings=settings_of(history, best),
        notes=("nothing was run", *history.asked.notes),
    )


def _asked(spec: AdviseSpec, found: Candidates, told: str) -> Asked:
    notes: tuple[str, ...] = ()
    if spec.runs is not None:
        others = sum(map(len, found.corpus.values()))
        notes = (_EARLIER.format(len(found.earlier), others, len(found.corpus), found.left),)
    return Asked(
        version=__version__,
        spec=spec,
        configurations=found.configurations,
        types=found.types,
        earlier=found.earlier,
        corpus=found.corpus,
        told=told,
        notes=notes,
    )


def _advisor(spec: AdviseSpec) -> Advisor:
    return advisor(spec.advisor.name, **spec.advisor.options)


def _next(history: History, chosen: Advisor) -> Suggested | Stop:
    """What comes next by the records alone."""
    spec = history.asked.spec
    if spec.probes is not None and len(history.probes) >= spec.probes:
        return Stop(f"{len(history.probes)} probes were made, as many as were asked for.")
    if history.left is not None and history.left <= 0:
        return Stop(f"The budget of {spec.budget:g} dollars is spent.")
    view = history.view
    said: Probe | Stop = chosen.next(view)
    if isinstance(said, Stop):
        return said
    name = view.space[said.configuration].name
    suggested = Suggested(configuration=name, reason=said.reason, limit=said.limit)
    return _unpaid(history, suggested) or suggested


def _unpaid(history: History, suggested: Suggested) -> Stop | None:
    """The end, where what is left of the budget does not pay for a probe."""
    spec, left = history.asked.spec, history.left
    if left is None:
        return None
    if left <= 0:
        return Stop(f"The budget of {spec.budget:g} dollars is spent.")
    space = history.view.space
    per_hour = space[space.number(suggested.configuration)].per_hour
    if payable(left, per_hour, spec) > 0:
        return None
    name = suggested.configuration
    return Stop(f"What is left of the budget, ${left:.4g}, does not pay for a probe of {name}.")


def _same(now: Any, recorded: Any, history: History) -> None:
    if now != recorded:
        made = len(history.probes)
        raise Diverged(f"after {made} probes the records say {recorded!r}, and now it would be {now!r}")
