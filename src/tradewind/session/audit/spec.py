"""What an audit is asked: an image, the workloads that it must still do, and what is kept and may differ.

One set of names for the TOML file and for the options of `tradewind audit`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tradewind.audit.slimming.policy import Policy
from tradewind.audit.tracing.workload import Input, Workload
from tradewind.audit.verification.comparing import Bounds
from tradewind.errors import Misuse
from tradewind.session.spec_documents import check, read_document, schema

DEFAULT_BACKEND = "auto"


class AuditSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question about an image, whole."""

    image: str = ""
    """A directory, an OCI layout, an archive of one, or what `docker save` wrote; `@` and a tag chooses."""
    run: tuple[Workload, ...] = ()
    """The workloads that are traced, in this order, and that the slim image must repeat."""
    beside: tuple[Workload, ...] = ()
    """Workloads that are not traced, and that must work with the side-car."""
    policy: Policy = Policy()
    bounds: Bounds = Bounds()
    backend: str = DEFAULT_BACKEND
    """The tracer."""
    repetitions: Annotated[int, Meta(ge=1, description="Give 1 or more.")] = 1
    """How often a verification runs each workload on both images."""
    negative: Annotated[int, Meta(ge=0, description="Give 0 or more.")] = 0
    """How many kept files a verification leaves out, one at a time, to see whether it notices."""
    seed: int = 0


def audit_schema() -> dict[str, Any]:
    """The JSON schema of a spec, as it is published beside the session's others."""
    (made,), parts = msgspec.json.schema_components(
        [AuditSpec], ref_template="#/$defs/{name}", schema_hook=lambda _: {"description": "Any value."}
    )
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "$defs": parts}
    return dict(json.loads(json.dumps(whole)))


def read_audit_spec(path: Path) -> AuditSpec:
    """The spec in a TOML file; relative paths in it are relative to its folder. Misuse for what is wrong."""
    return make_audit_spec(read_document(path), source=str(path), folder=path.parent)


def make_audit_spec(
    document: Mapping[str, Any], *, source: str = "audit", folder: Path = Path()
) -> AuditSpec:
    """The spec that `document` says, checked before anything is opened or run. Raises Misuse."""
    given = json.loads(json.dumps(document, default=str))
    for table in ("run", "beside"):
        rows = given.get(table)
        for number, row in enumerate(rows if isinstance(rows, list) else ()):
            if isinstance(row, dict):
                row.setdefault("name", f"{table}-{number + 1}")
                if isinstance(row.get("command"), str):
                    row["command"] = _words(row["command"], source, f"{table}.{number}.command")
    check(given, lambda _: source, schema("audit"))
    try:
        spec = msgspec.convert(given, AuditSpec)
    except msgspec.ValidationError as problem:
        told, _, field = str(problem).partition(" - at `$.")
        raise Misuse(told, source=source, field=field.rstrip("`"), fix="Mend the value.") from None
    spec.policy.check(f"{source}: policy")
    spec.bounds.check(f"{source}: bounds")
    names = [each.name for each in (*spec.run, *spec.beside)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Misuse(f"two workloads are called {twice!r}", source=source, field="run", fix="Rename one.")
    anchored = {
        table: tuple(_anchored(each, folder) for each in getattr(spec, table)) for table in ("run", "beside")
    }
    for number, workload in enumerate(anchored["run"]):
        workload.check(f"{source}: run.{number}")
    for number, workload in enumerate(anchored["beside"]):
        workload.check(f"{source}: beside.{number}")
    image = str(folder / spec.image) if spec.image else ""
    return msgspec.structs.replace(spec, image=image, run=anchored["run"], beside=anchored["beside"])


def _words(command: str, source: str, field: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as problem:
        raise Misuse(
            f"is no command ({problem})", source=source, field=field, fix="Close the quote."
        ) from None


def _anchored(workload: Workload, folder: Path) -> Workload:
    inputs = tuple(Input(str((folder / each.source).absolute()), each.path) for each in workload.inputs)
    return msgspec.structs.replace(workload, inputs=inputs)
