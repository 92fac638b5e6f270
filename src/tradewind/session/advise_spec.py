"""What `advise` is asked: a command or past runs, candidates, what is wanted, and what may be spent.

One set of names for the TOML file, for `tw.advise(...)` and for the options of the command line.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tradewind.advice.configuration.advisors import advisor
from tradewind.advice.configuration.objective import Objective
from tradewind.errors import Misuse
from tradewind.session import durations
from tradewind.session.spec_documents import check, plain, read_document, schema

DEFAULT = "tradewind"
"""The advisor that is asked where none is named."""


class CandidateSpec(Struct, frozen=True, kw_only=True):
    """One thing that could be rented as a whole."""

    name: str
    per_hour: float
    """US dollars for an hour of all machines together."""
    machines: int = 1
    vcpus: float | None = None
    """Of one machine."""
    memory_gib: float | None = None
    """Of one machine."""
    type: str = ""
    """The instance type, where it is one: what train, tune and serve are told."""
    features: dict[str, float | str] = {}


class TypesSpec(Struct, frozen=True, kw_only=True):
    """Instance types of a price list, each in several counts."""

    names: tuple[str, ...]
    counts: tuple[int, ...] = (1,)
    region: str = "us-east-1"
    prices: str | None = None
    """A price list in a CSV file; None for the package's own of AWS."""


class SizesSpec(Struct, frozen=True, kw_only=True):
    """Every combination of these, at a price by the vCPU and GiB."""

    vcpus: tuple[float, ...]
    per_vcpu_hour: float
    memory_gib: tuple[float, ...] = ()
    """None for machines whose memory is not limited."""
    machines: tuple[int, ...] = (1,)
    per_gib_hour: float = 0.0


class AdvisorSpec(Struct, frozen=True):
    """An advisor by its name, and the options of its class."""

    name: str = DEFAULT
    options: dict[str, Any] = {}


class MeasureSpec(Struct, frozen=True, kw_only=True):
    """Where probes are made."""

    kind: str = "local"
    """`local`: within limits on this machine. `ray`: on the nodes of a Ray cluster of one's own. `aws`: on an
    instance of EC2 for each probe. What follows the address is for `aws`."""
    address: str = "auto"
    """Of the Ray cluster."""
    region: str | None = None
    """None for that of `types`, or us-east-1."""
    zones: tuple[str, ...] = ()
    """Empty for all of the region."""
    terms: str = "on_demand"
    """`on_demand`, or `spot`: then the candidate's price is the limit of the bid."""
    image: str = ""
    """The machine image (AMI): Linux with cloud-init, Python 3.9 or later, and what the command needs."""
    store: str = ""
    """`s3://BUCKET/PREFIX` by which an instance gets the command's folder and tells how it went."""
    boot_limit: float = 300.0
    """Seconds from a grant to the program's first sign of life."""
    leave: tuple[str, ...] = (".git", ".venv", "__pycache__", "*.pyc")
    """Patterns of what is not sent of the command's folder: of names at any depth, or with a leading `/` of
    paths from there on. Never sent is `out`."""
    subnets: dict[str, str] = {}
    """The subnet of a zone; a zone that is not named uses its default subnet."""
    security_groups: tuple[str, ...] = ()
    """No port needs to be open; S3 has to be within reach."""
    instance_profile: str = ""
    """For what the command itself may do; a probe needs none."""


class AdviseSpec(Struct, frozen=True, kw_only=True):
    """A question, whole."""

    name: str = "advice"
    """What the workload is called."""
    command: tuple[str, ...] | None = None
    """What is run on candidates; None to advise from past runs alone, where nothing is run."""
    folder: str = "."
    """The command's working directory; the spec file's own if it says nothing."""
    environment: dict[str, str] = {}
    candidates: tuple[CandidateSpec, ...] | None = None
    types: TypesSpec | None = None
    sizes: SizesSpec | None = None
    """Where the candidates come from: one of the three; of none, from the past runs."""
    objective: Objective = Objective()
    current: str | None = None
    """The candidate that runs now."""
    budget: float | None = None
    """US dollars that all probes together may cost; the one that runs is ended when they are spent."""
    time_limit: float | None = None
    """Seconds after which any run is ended."""
    recurrences: float = 10.0
    """How often the workload will still be run."""
    probes: int | None = None
    """How many are made at most; None for as many as the advisor wants."""
    advisor: AdvisorSpec = AdvisorSpec()
    runs: str | None = None
    """A CSV file of past runs, of this workload or of others: what can be learned before anything is run."""
    workload: str = ""
    """Whose rows of that file are this workload's own; its name if empty."""
    measure: MeasureSpec = MeasureSpec()
    seed: int = 0
    out: str = "runs"

    @property
    def own(self) -> str:
        """By which name past runs are this workload's."""
        return self.workload or self.name


_SHORTHANDS = {"advisor": "name", "measure": "kind"}
_PATHS = ("runs", "types.prices", "out", "folder")


def read_advise_spec(path: str | Path, overrides: Mapping[str, Any] | None = None) -> AdviseSpec:
    """The question that a TOML file asks, with `overrides` (dotted field to value).

    Paths in the file are relative to its folder, as is the command's working directory. Misuse for a file
    that cannot be read, and for whatever is wrong in it.
    """
    path = Path(path)
    document = {"folder": ".", "name": _name_of(path), **read_document(path)}
    return make_advise_spec(document, source=str(path), folder=path.parent, overrides=overrides)


def make_advise_spec(
    document: Mapping[str, Any],
    *,
    source: str = "advise()",
    folder: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> AdviseSpec:
    """The question that `document` asks, checked before anything is read or run. Raises Misuse."""
    given = _spread(plain({key: value for key, value in document.items() if value is not None}))
    if folder is not None:
        for field in _PATHS:
            _anchor(given, field, folder)
    for field, value in (overrides or {}).items():
        _set(given, field, plain(value))
    given = _spread(given)
    changed = tuple(overrides or ())

    def where(field: str) -> str:
        mine = any(f"{field}.".startswith(f"{each}.") for each in changed)
        return "the command line" if mine else source

    check(given, where, schema("advise"))
    objective = given.get("objective", {})
    measure = given.get("measure", {})
    for table, field, name in (
        (given, "time_limit", "time_limit"),
        (objective, "deadline", "objective.deadline"),
        (measure, "boot_limit", "measure.boot_limit"),
    ):
        if table.get(field) is not None:
            table[field] = durations.seconds(table[field], source=where(name), field=name)
    if "advisor" in given:
        options = dict(given["advisor"])
        name = options.pop("name", DEFAULT)
        given["advisor"] = {"name": name, "options": options}
    try:
        spec = msgspec.convert(given, AdviseSpec, strict=False)
    except msgspec.ValidationError as problem:
        told, _, path = str(problem).partition(" - at `$.")
        field = path.rstrip("`")
        raise Misuse(told, source=where(field), field=field, fix="Mend the value.") from problem
    _check_together(spec, where)
    return spec


def _check_together(spec: AdviseSpec, where: Any) -> None:
    try:
        advisor(spec.advisor.name, **spec.advisor.options)
    except Misuse as problem:
        field = "advisor" if problem.source == "advisor" else f"advisor.{problem.field}"
        told = (
            str(problem).removeprefix(f"{problem.source}: {problem.field}: ").removesuffix(f". {problem.fix}")
        )
        raise Misuse(told, source=where("advisor"), field=field, fix=problem.fix) from problem
    given = [name for name in ("candidates", "types", "sizes") if getattr(spec, name) is not None]
    if len(given) > 1:
        raise Misuse(
            f"there is {given[0]} too",
            source=where(given[1]),
            field=given[1],
            fix="Leave one of the two out.",
        )
    if not given and spec.runs is None:
        raise Misuse(
            "there is nothing to choose from",
            source=where("candidates"),
            field="candidates",
            fix="Add [[candidates]], [types] or [sizes], or past runs.",
        )
    if spec.command is None:
        if spec.runs is None:
            raise Misuse(
                "there is neither a command to run nor a record of past runs",
                source=where("command"),
                field="command",
                fix='Add command = ["python", "job.py"], or runs = "past.csv".',
            )
        return
    if not Path(spec.folder).is_dir():
        raise Misuse("is no folder", source=where("folder"), field="folder", fix="Name the command's folder.")
    if spec.measure.kind == "aws":
        _check_aws(spec, where)
    if spec.measure.kind == "local" and "{" not in spec.command[0]:
        program = spec.command[0]
        beside = Path(spec.folder, program) if "/" in program else None
        if shutil.which(str(beside.absolute()) if beside else program) is None:
            raise Misuse(
                f"{program!r} cannot be run",
                source=where("command"),
                field="command",
                fix="Give a program that is on the PATH, or its path.",
            )


def _check_aws(spec: AdviseSpec, where: Any) -> None:
    """What real money needs: where, by which way, and at most how long and how much."""
    measure = spec.measure
    for field, value, fix in (
        ("measure.image", measure.image, 'Give an image of the region, such as "ami-0abc".'),
        ("measure.store", measure.store, 'Give a prefix such as "s3://bucket/probes".'),
        ("time_limit", spec.time_limit, "Say after how long any run is ended: instances cost money."),
        ("budget", spec.budget, "Say how many dollars all probes may cost."),
    ):
        if not value:
            raise Misuse("is not given", source=where(field), field=field, fix=fix)
    if not re.match(r"s3://[^/]+", measure.store):
        raise Misuse(
            f"{measure.store!r} is no bucket",
            source=where("measure.store"),
            field="measure.store",
            fix="Give a prefix such as s3://bucket/probes.",
        )
    if spec.types is not None and measure.region not in (None, spec.types.region):
        raise Misuse(
            f"the types are of {spec.types.region}",
            source=where("measure.region"),
            field="measure.region",
            fix="Leave it out.",
        )
    if spec.types is not None and set(spec.types.counts) != {1}:
        raise Misuse(
            "a probe on EC2 has one machine",
            source=where("types.counts"),
            field="types.counts",
            fix="Leave it out.",
        )
    if spec.types is None and not (spec.candidates and all(each.type for each in spec.candidates)):
        raise Misuse(
            "candidates need an instance type to be had at EC2",
            source=where("candidates"),
            field="candidates",
            fix="Add [types], or a type to each of [[candidates]].",
        )


def _name_of(path: Path) -> str:
    name = "".join(each if each.isalnum() or each in "._-" else "-" for each in path.stem)
    return name.lstrip("._-")[:80] or "advice"


def _spread(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: {_SHORTHANDS[key]: value} if key in _SHORTHANDS and isinstance(value, str) else value
        for key, value in document.items()
    }


def _anchor(document: dict[str, Any], field: str, folder: Path) -> None:
    table: Any = document
    *path, last = field.split(".")
    for name in path:
        table = table.get(name)
        if not isinstance(table, dict):
            return
    if isinstance(table.get(last), str):
        table[last] = str(folder / table[last])


def _set(document: dict[str, Any], field: str, value: Any) -> None:
    table: Any = document
    *path, last = field.split(".")
    for name in path:
        inner = table.get(name)
        if isinstance(inner, str) and name in _SHORTHANDS:
            inner = {_SHORTHANDS[name]: inner}
        table[name] = inner = dict(inner) if isinstance(inner, dict) else {}
        table = inner
    table[last] = value
