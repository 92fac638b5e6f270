"""What a study is: the table `tune` of a spec beside what every run says of machines, money and time.

One set of names for the TOML file, for `tw.tune(...)` and for the options of the command line, as in `spec`.
A learner's trials are those of the spec's learner, data and job; a function brings its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tradewind.errors import Misuse
from tradewind.session import durations
from tradewind.session.learner_space import JOB, check_space
from tradewind.session.spec import ProviderSpec, TrainSpec, WorkersSpec, make_spec
from tradewind.session.spec_documents import check, plain, read_document, schema
from tradewind.tuning.space import Space

_RULES = ("search", "stop", "machines")


class RuleSpec(Struct, frozen=True):
    """A rule by its name, and the options of its class."""

    name: str
    options: dict[str, Any] = {}

    @property
    def spoken(self) -> dict[str, Any]:
        """As `tuning.rules` takes it."""
        return {"name": self.name, **self.options}


class TuneSpec(Struct, frozen=True, kw_only=True):
    """A study, whole."""

    space: dict[str, Any]
    """Hyper-parameters, as `Space.of` takes them."""
    train: TrainSpec | None = None
    """Whose trials they are; None for a function's."""
    name: str = "study"
    search: RuleSpec = RuleSpec("gp")
    stop: RuleSpec | None = None
    machines: RuleSpec = RuleSpec("cheapest_step")
    trials: int = 20
    steps: int | None = None
    """Reports of a whole trial; None for a learner's, which are counted."""
    rows_per_step: int | None = None
    metric: str = ""
    direction: str = ""
    """`minimize` or `maximize`; empty for what the metric says."""
    checkpoint_every: float = 300.0
    """Seconds of market time."""
    forecast: str = "empirical"
    store: str | None = None
    budget: float | None = None
    """US dollars for the whole study."""
    deadline: float | None = None
    """Seconds of market time from the start by which it ends."""
    seed: int = 0
    workers: WorkersSpec = WorkersSpec()
    """What the machine of one trial must have, and how many trials run at once at most."""
    provider: ProviderSpec = ProviderSpec()
    runtime: str = "processes"
    out: str = "runs"


def read_tune_spec(path: str | Path, overrides: Mapping[str, Any] | None = None) -> TuneSpec:
    """The study that a TOML file says, with `overrides` (dotted field to value); Misuse as `read_spec`."""
    path = Path(path)
    return make_tune_spec(
        read_document(path), source=str(path), folder=path.parent, overrides=overrides
    )  # fmt: skip


def make_tune_spec(
    document: Mapping[str, Any], *, source: str = "spec", folder: Path | None = None,
    overrides: Mapping[str, Any] | None = None, of_function: bool = False,
) -> TuneSpec:  # fmt: skip
    """The study that `document` says, checked before anything is read or rented.

    `of_function` is for trials of a function, whose document has neither learner nor data.
    """
    changes = dict(overrides or {})
    table = dict(plain(document.get("tune") or {}))
    mine = {
        name.removeprefix("tune."): changes.pop(name) for name in list(changes) if name.startswith("tune.")
    }
    for name, value in mine.items():
        outer, _, inner = name.partition(".")
        table[outer] = {**table.get(outer, {}), inner: plain(value)} if inner else plain(value)

    def where(field: str) -> str:
        return "the command line" if field.removeprefix("tune.") in mine else source

    check({"tune": table}, where, schema("tune"))
    rest = {key: value for key, value in document.items() if key != "tune"}
    if of_function:
        # a function has learner and data of its own; the other fields are checked as they always are
        rest = {"learner": {"kind": "LinearLearner"}, "data": "given", **rest}
    train = make_spec(rest, source=source, folder=folder, overrides=changes)
    found = _made(table, source)
    spec = msgspec.structs.replace(
        found, train=None if of_function else train, budget=train.budget, deadline=train.deadline,
        seed=train.seed, workers=train.workers, provider=train.provider, runtime=train.runtime, out=train.out,
    )  # fmt: skip
    _check_together(spec, source)
    return spec


def _made(table: Mapping[str, Any], source: str) -> TuneSpec:
    fields = dict(table)
    for name in _RULES:
        if fields.get(name) is not None:
            fields[name] = _rule(fields[name], f"tune.{name}", source)
    if fields.get("machines", ...) is None or fields.get("search", ...) is None:
        raise Misuse("must be one", source=source, field="tune.search", fix="Leave it out, or name a rule.")
    if "checkpoint_every" in fields:
        fields["checkpoint_every"] = durations.seconds(
            fields["checkpoint_every"], source=source, field="tune.checkpoint_every"
        )
    return TuneSpec(**fields)


def _rule(given: Any, field: str, source: str) -> RuleSpec:
    if isinstance(given, str):
        return RuleSpec(given)
    options = dict(given)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise Misuse("it does not say which rule", source=source, field=field, fix='Give name = "...".')
    return RuleSpec(name, options)


def _check_together(spec: TuneSpec, source: str) -> None:
    space = Space.of(spec.space, source=f"{source}: tune.space")
    if spec.train is not None:
        check_space(space, spec.train.learner, source=f"{source}: tune.space")
        if spec.steps is not None:
            raise Misuse(
                "a learner's steps are its epochs", source=source, field="tune.steps",
                fix="Set epochs, or tune.rows_per_step.",
            )  # fmt: skip
    elif spec.steps is None and spec.stop is not None:
        raise Misuse(
            "it is not said how many reports a whole trial makes", source=source, field="tune.steps",
            fix="Give the number.",
        )  # fmt: skip
    if spec.provider.kind == "simulated":
        raise Misuse(
            "in virtual time nothing learns, so there is nothing to tune by", source=source,
            field="provider.kind", fix="Use local, or Study with ModelledTrials on recorded curves.",
        )  # fmt: skip


def learner_arguments(spec: TuneSpec) -> dict[str, Any]:
    """What `learner_objective.objective` is given beside a trial, as plain JSON."""
    train = spec.train
    assert train is not None
    data = {
        name: value
        for name, value in msgspec.to_builtins(train.data).items()
        if value not in (None, [], (), "")
    }
    found: dict[str, Any] = {
        "learner": {"kind": train.learner.kind, **train.learner.arguments},
        "data": data,
        "metric": spec.metric,
        **{name: getattr(train, name) for name in JOB},
    }
    if spec.rows_per_step is not None:
        found["rows_per_step"] = spec.rows_per_step
    return found
