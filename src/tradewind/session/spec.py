"""A training spec: what to learn, from what, on which machines, by when and for how much.

One set of names for the TOML file, for `tw.train(...)` and for the options of the command line. A document
from any of them is checked by the published JSON schema beside this module, then made into a frozen value;
nothing is read or rented before the whole of it is right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.session import durations
from tradewind.session.data_spec import DataSpec, check_data
from tradewind.session.spec_documents import Where, check, plain, read_document, schema
from tradewind.training.job import Learner


class PolicySpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bidding policy and the arguments of its constructor."""

    name: str = "cheapest_spot"
    args: dict[str, Any] = {}
    forecast: str = "empirical"
    """What forecasts the market for a policy that looks ahead."""


class WorkersSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each worker's instance must have, and how many are wanted at most."""

    count: int = 4
    total_vcpus: float | None = None
    """vCPUs of all workers together at most, for a mix of types; None for no such limit."""
    vcpus: float = 1.0
    memory_gib: float = 0.0
    gpus: float = 0.0
    gpu_kind: str = ""
    instance_types: tuple[str, ...] = ()
    """Types to choose from; empty for any that has the resources."""
    zones: tuple[str, ...] = ()
    """Zones to choose from; empty for any."""


class StateSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the instance that keeps the model must have, one that cannot be revoked; and who serves it.

    AgileML's stages, by the ratio of the workers' instances to those that keep the model.
    """

    vcpus: float = 1.0
    memory_gib: float = 1.0
    instance_types: tuple[str, ...] = ()
    shards: int = 0
    """Pieces that can be served apart; 1 keeps it where it is, 0 goes by the model's size."""
    stage2_above: float = 1.0
    """The ratio above which workers' instances serve the model, and its own keeps the backup."""
    stage3_above: float = 15.0
    """The ratio above which no worker runs beside the backup."""
    hysteresis: float = 0.8
    """A stage is left only below this share of the ratio at which it begins."""
    active_share: float = 0.5
    """The share of the workers' instances that serve the model in stages 2 and 3."""
    most_active: int = 32
    """How many of them at most."""
    workers_beside: bool = False
    """Whether workers run on the model's own instance too, in stages 1 and 2."""
    backup: str | None = None
    """The address of an object store that every snapshot is copied to, in a folder named for the run."""


class ProviderSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who rents us machines."""

    kind: str = "local"
    """`local`: real processes on this machine under a recorded market. `simulated`: virtual time. `ray`: the
    nodes of a Ray cluster of one's own, at `per_vcpu_hour`."""
    history: str = "demo"
    """The recorded market: a name that the package knows, or a file."""
    start: float | None = None
    """The recorded moment at which the run begins; None for the first of the history."""
    speed: float = 60.0
    """Market seconds in a second of the wall's; `local` only."""
    notice: float | None = None
    """Seconds between a notice and the end; None for the era's own."""
    boot: float | None = None
    """Seconds from a bid until the instance answers; None for the provider's own."""
    cpu_shares: dict[str, float] = {}
    """The share of one local core that an instance of a type gets, by type; a type not named gets all."""
    per_vcpu_hour: float = 0.01
    """US dollars that a vCPU-hour of one's own cluster is reckoned at; `ray` only."""


class TrainSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A training run, whole."""

    learner: Learner
    data: DataSpec
    name: str = "train"
    """What the run's folder is called after."""
    epochs: int = 1
    batch: int = 1000
    """Rows that one logical worker reads between two pushes."""
    deadline: float | None = None
    """Seconds of market time from the start by which it must be done; None for whenever."""
    budget: float | None = None
    """US dollars for the whole run."""
    policy: PolicySpec = PolicySpec()
    seed: int = 0
    consistency: str = "bulk_synchronous"
    """`bulk_synchronous`, `stale_synchronous` or `asynchronous`."""
    staleness: int = 0
    """Clocks that the fastest worker may be ahead of the slowest; stale-synchronous only."""
    parts: int = 8
    """Logical workers: parts that the data is cut into, whatever the number of machines."""
    workers: WorkersSpec = WorkersSpec()
    state: StateSpec = StateSpec()
    snapshot_every: float = 300.0
    """Seconds of market time between two snapshots."""
    provider: ProviderSpec = ProviderSpec()
    runtime: str = "processes"
    """`processes`, or `inline` for threads of this process."""
    out: str = "runs"
    """The folder that the run's own folder is made in."""


STEPS = ("tune", "audit", "serve")
"""Tables of a spec that say what else is done: `tune_spec` reads the first, `pipeline.spec` all of them."""
_SHORTHANDS = {"learner": "kind", "data": "path", "policy": "name", "provider": "kind"}
"""Tables for which a plain text will do: it is the value of this key."""
_DURATIONS = ("snapshot_every", "provider.notice", "provider.boot")
_DATA_PATHS = ("data.path", "data.test", "data.validation", "data.prepare")
_PATHS = (*_DATA_PATHS, "provider.history", "state.backup", "out")


def read_spec(path: str | Path, overrides: Mapping[str, Any] | None = None) -> TrainSpec:
    """The spec in a TOML file, with `overrides` (dotted field to value) in place of what it says.

    Paths in the file are relative to its folder, those in `overrides` to the working directory. Misuse for
    a file that cannot be read, TOML that does not parse, a misspelt or missing field, or a wrong value.
    """
    path = Path(path)
    return make_spec(read_document(path), source=str(path), folder=path.parent, overrides=overrides)


def make_spec(
    document: Mapping[str, Any],
    *,
    source: str = "spec",
    folder: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> TrainSpec:
    """The spec that `document` (the TOML's tables as dictionaries) says, checked; see `read_spec`.

    Relative paths are taken from `folder`, or left as they are if None. The tables of other steps
    (`STEPS`) are left to those.
    """
    given = plain(_spread({key: value for key, value in document.items() if key not in STEPS}))
    if folder is not None:
        for field in _PATHS:
            _replace(given, field, lambda text: _anchored(text, folder))
    for field, value in (overrides or {}).items():
        _set(given, field, plain(value))
    given = _spread(given)
    if isinstance(own := given.get("provider"), dict) and own.get("kind") == "ray":
        own.setdefault("history", "cluster")  # what is recorded has no part in it
        own.setdefault("speed", 1.0)  # and time is the wall's

    def where(field: str) -> str:
        mine = any(f"{field}.".startswith(f"{each}.") or each.startswith(f"{field}.") for each in changed)
        return "the command line" if mine else source

    changed = tuple(overrides or ())
    check(given, where, schema())
    for field in _DURATIONS:
        _replace(given, field, partial(_duration, where, field))
    _replace(given, "provider.start", partial(_moment, where, "provider.start"))
    _replace(given, "deadline", partial(_deadline, where, given))
    learner = dict(given["learner"])
    given["learner"] = {"kind": learner.pop("kind"), "arguments": learner}
    try:
        spec = msgspec.convert(given, TrainSpec, strict=False)
    except msgspec.ValidationError as problem:
        # What JSON Schema lets through and the value does not, such as a number too large for its type.
        told, _, path = str(problem).partition(" - at `$.")
        field = path.rstrip("`")
        raise Misuse(told, source=where(field), field=field, fix="Mend the value.") from problem
    _check_together(spec, where)
    return spec


def spec_bytes(spec: TrainSpec) -> bytes:
    """The spec as JSON, the same bytes for equal specs; `spec_from` reads it back."""
    return msgspec.json.encode(spec, order="deterministic")


def spec_from(data: bytes) -> TrainSpec:
    """The spec that `spec_bytes` wrote."""
    try:
        return msgspec.json.decode(data, type=TrainSpec)
    except msgspec.DecodeError as problem:
        raise Misuse(f"is no stored spec: {problem}", source="spec") from problem


def digest(spec: TrainSpec) -> str:
    """The spec's identity: 32 hexadecimal digits of the BLAKE2b of its bytes."""
    return hashlib.blake2b(spec_bytes(spec), digest_size=16).hexdigest()


def _spread(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: {_SHORTHANDS[key]: value} if key in _SHORTHANDS and isinstance(value, str) else value
        for key, value in document.items()
    }


def _set(document: dict[str, Any], field: str, value: Any) -> None:
    table = document
    *path, last = field.split(".")
    for name in path:
        inner = table.get(name)
        if isinstance(inner, str) and name in _SHORTHANDS:
            inner = {_SHORTHANDS[name]: inner}
        if not isinstance(inner, dict):
            inner = {}
        table[name] = table = inner
    shorthand = _SHORTHANDS.get(field)
    if shorthand and isinstance(value, str) and isinstance(table.get(last), dict):
        # `--policy on_demand` over a policy table names another policy, whose arguments are its own;
        # `--provider simulated` keeps the history and the start.
        keep = table[last] if field in ("data", "provider") else {}
        value = {**keep, shorthand: value}
    table[last] = value


def _replace(document: dict[str, Any], field: str, change: Any) -> None:
    table: Any = document
    *path, last = field.split(".")
    for name in path:
        table = table.get(name)
        if not isinstance(table, dict):
            return
    if table.get(last) is not None:
        table[last] = change(table[last])


def _anchored(text: Any, folder: Path) -> Any:
    """`text` as a path from `folder` if it is one: it exists there, or has a separator and is no URL."""
    if not isinstance(text, str) or "://" in text or not text:
        return text
    anchored = folder / text
    return str(anchored) if anchored.exists() or "/" in text else text


def _duration(where: Where, field: str, value: Any) -> float:
    return durations.seconds(value, source=where(field), field=field)


def _moment(where: Where, field: str, value: Any) -> float:
    if isinstance(value, int | float):
        return float(value)
    try:
        return clock.moment(value)
    except Misuse as problem:
        raise Misuse(
            f"{value!r} is no moment",
            source=where(field),
            field=field,
            fix="Write it as 2020-01-31T12:00:00Z.",
        ) from problem


def _deadline(where: Where, document: dict[str, Any], value: Any) -> float:
    """Seconds from the start, of a duration or of a moment."""
    if isinstance(value, str) and "-" in value[1:]:
        due = _moment(where, "deadline", value)
        start = (document.get("provider") or {}).get("start")
        if start is None:
            raise Misuse(
                "a moment needs to know when the run starts",
                source=where("deadline"),
                field="deadline",
                fix="Set provider.start too, or write a duration such as 2h.",
            )
        if due <= start:
            raise Misuse(
                f"{value} is not after the start, {clock.iso(start)}",
                source=where("deadline"),
                field="deadline",
                fix="Give a later moment, or a duration such as 2h.",
            )
        return due - float(start)
    return _duration(where, "deadline", value)


def _check_together(spec: TrainSpec, where: Where) -> None:
    """Raise Misuse for fields that are right alone and wrong together."""
    check_data(spec.data, where)
    if spec.staleness and spec.consistency != "stale_synchronous":
        raise Misuse(
            f"has no meaning when consistency is {spec.consistency!r}",
            source=where("staleness"),
            field="staleness",
            fix='Set consistency = "stale_synchronous", or leave staleness out.',
        )
    if spec.workers.count > spec.parts:
        raise Misuse(
            f"{spec.workers.count} workers would share {spec.parts} parts of the data, and some would idle",
            source=where("workers.count"),
            field="workers.count",
            fix="Raise parts, or ask for fewer workers.",
        )
    if spec.state.stage3_above < spec.state.stage2_above:
        raise Misuse(
            f"stage 3 would begin at {spec.state.stage3_above:g}, stage 2 at {spec.state.stage2_above:g}",
            source=where("state.stage3_above"),
            field="state.stage3_above",
            fix="Give a ratio that is no lower.",
        )
    if spec.workers.gpu_kind and not spec.workers.gpus:
        raise Misuse(
            f"a kind of GPU ({spec.workers.gpu_kind}) without a number of them",
            source=where("workers.gpus"),
            field="workers.gpus",
            fix="Set workers.gpus = 1, or leave gpu_kind out.",
        )
    if spec.provider.kind == "ray" and not spec.runtime.startswith("ray"):
        raise Misuse(
            "the nodes of a Ray cluster are reached through Ray alone",
            source=where("runtime"),
            field="runtime",
            fix='Set runtime = "ray", or "ray:ADDRESS" of the cluster.',
        )
    if spec.provider.kind == "simulated" and spec.runtime == "inline":
        raise Misuse(
            "a simulated provider's work is a speed model, which no runtime runs",
            source=where("runtime"),
            field="runtime",
            fix='Leave runtime out, or set provider.kind = "local".',
        )
