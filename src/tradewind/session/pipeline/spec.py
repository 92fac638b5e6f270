"""What a pipeline is: a training spec, with the tables `tune`, `audit` and `serve` beside it where wanted."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from tradewind.audit.vulnerabilities.gate import threshold
from tradewind.errors import Misuse
from tradewind.serving.objective import objective
from tradewind.session.assembly import policy_of
from tradewind.session.spec import STEPS, TrainSpec, make_spec
from tradewind.session.spec_documents import check, plain, read_document, schema
from tradewind.session.tune_spec import TuneSpec, make_tune_spec

_TABLES = ("audit", "serve")


class AuditTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stops a deployment. A model file that is not clean always does."""

    fail_on: str = ""
    """A threshold as `audit vulns --fail-on` takes it; empty for none."""
    strict: bool = False
    """Whether packages that no fresh source speaks of stop it too."""
    environment: str = ""
    """The folder of the packages that serve; empty for this interpreter's."""
    advisories: str = ""
    """A folder of imported advisories; empty for the usual one."""


class ServeTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where and how the model answers."""

    slo: str = ""
    name: str = ""
    host: str = "127.0.0.1"
    port: int = 8080
    grpc_port: int = 8081
    """-1 for none."""
    max_batch: int | None = None
    policy: str = ""
    """The rule that rents machines for replicas; empty for this process."""
    least: int = 1


class PipelineSpec(Struct, frozen=True, kw_only=True):
    """A pipeline, whole. Its name is the training's."""

    source: str
    folder: Path | None
    """What relative paths of the document are taken from."""
    document: dict[str, Any]
    """What was written, without the tables of the other steps."""
    changes: dict[str, Any]
    """Dotted fields of the training that are otherwise than written."""
    train: TrainSpec
    tune: TuneSpec | None
    audit: AuditTable
    serve: ServeTable | None

    @property
    def home(self) -> Path:
        """The folder that keeps how far it is."""
        return Path(self.train.out) / self.train.name

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps, in their order."""
        wanted = {"tune": self.tune, "train": self.train, "audit": self.audit, "serve": self.serve}
        return tuple(step for step, given in wanted.items() if given is not None)

    @property
    def digest(self) -> str:
        """What tells it from another: 32 hexadecimal digits, of what is learned, how, and for how much."""
        told = msgspec.json.encode((self.train, self.tune), order="deterministic")
        return hashlib.blake2b(told, digest_size=16).hexdigest()

    def training(self, fields: Mapping[str, Any]) -> TrainSpec:
        """What is trained where a search found the best values of some fields, dotted."""
        return _settled(
            make_spec(
                self.document, source=self.source, folder=self.folder, overrides={**self.changes, **fields}
            )
        )


def read_pipeline_spec(
    path: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None
) -> PipelineSpec:
    """The pipeline that a TOML file says, with `overrides` (dotted field to value) in place of what it says.

    Misuse as `spec.read_spec`, for every table, before anything is read, rented or run.
    """
    path = Path(path)
    document = read_document(path)
    changes = dict(overrides or {})
    tables = {name: _table(document, changes, name) for name in _TABLES}
    given = {name: table for name, table in tables.items() if table is not None}
    check(given, lambda field: str(path), schema("pipeline"))
    tuned = None
    if "tune" in document:
        tuned = _settled(make_tune_spec(document, source=str(path), folder=path.parent, overrides=changes))
    mine = {field: value for field, value in changes.items() if not field.startswith("tune.")}
    if tuned is None and len(mine) < len(changes):
        raise Misuse("nothing is searched for", source=str(path), field="tune", fix="Add the table tune.")
    rest = {name: table for name, table in document.items() if name not in STEPS}
    audit = msgspec.convert(given.get("audit", {}), AuditTable)
    serve = None if "serve" not in given else msgspec.convert(given["serve"], ServeTable)
    train = _settled(make_spec(rest, source=str(path), folder=path.parent, overrides=mine))
    for field in ("environment", "advisories"):
        if told := getattr(audit, field):
            audit = msgspec.structs.replace(audit, **{field: str(path.parent / told)})
    spec = PipelineSpec(
        source=str(path), folder=path.parent, document=rest, changes=mine, train=train, tune=tuned,
        audit=audit, serve=serve,
    )  # fmt: skip
    _check_together(spec)
    return spec


S = TypeVar("S", TrainSpec, TuneSpec)


def _settled(spec: S) -> S:
    """A spec whose folder is the same wherever, and whenever, the pipeline is gone on with."""
    return msgspec.structs.replace(spec, out=str(Path(spec.out).absolute()))


def _table(document: Mapping[str, Any], changes: dict[str, Any], name: str) -> dict[str, Any] | None:
    """A table with what the command line says of it, which is taken out of `changes`."""
    mine = [field for field in changes if field == name or field.startswith(f"{name}.")]
    if name not in document and not mine:
        return None
    table = plain(document.get(name) or {})
    for field in mine:
        table[field.removeprefix(f"{name}.")] = plain(changes.pop(field))
    return dict(table)


def _check_together(spec: PipelineSpec) -> None:
    policy_of(spec.train)
    if spec.audit.environment and not Path(spec.audit.environment).is_dir():
        raise Misuse(
            f"there is no folder {spec.audit.environment}", source=spec.source, field="audit.environment",
            fix="Name the folder of the packages that serve, or leave it out.",
        )  # fmt: skip
    if spec.audit.fail_on:
        threshold(spec.audit.fail_on)
    if spec.train.provider.kind == "simulated":
        raise Misuse(
            "in virtual time nothing learns, so there is no model to audit or serve", source=spec.source,
            field="provider.kind", fix="Use local, or tradewind train for a simulation.",
        )  # fmt: skip
    if spec.serve is None:
        return
    if spec.serve.slo:
        objective(spec.serve.slo)
    elif spec.serve.policy:
        raise Misuse(
            "nothing is promised", source=spec.source, field="serve.slo",
            fix='Say what the policy is to keep: slo = "p99<50ms".',
        )  # fmt: skip
