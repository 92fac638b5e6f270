"""The card of a model: what it is, what it was made of, how good it is, and what that cost.

Mitchell et al., Model Cards for Model Reporting (FAT* 2019), section 4: the card has their sections in their
order, and one more for the run that made the model. What a machine cannot know (a licence, what the model is
meant for, whom it may harm) is left empty, to be filled in; see `FREE`.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tradewind import __version__, clock
from tradewind.algorithms.interface import Algorithm, Model
from tradewind.data.durable_files import write_durably
from tradewind.data.interface import DataSet
from tradewind.data.model_files.layout import arrays_digest
from tradewind.data.runs import Run
from tradewind.errors import Corrupt, Misuse, suggestion
from tradewind.session import durations
from tradewind.session.report.data import Source
from tradewind.session.report.page import dollars
from tradewind.session.spec import TrainSpec
from tradewind.training.job import learner_of

CARD, PAGE = "card.json", "card.md"
"""The card's names beside a model: for machines, and the same for people."""
VERSION = 1
FREE = {
    "licence": ("model_details", "licence"),
    "contact": ("model_details", "contact"),
    "intended_use": ("intended_use", "primary"),
    "users": ("intended_use", "users"),
    "out_of_scope": ("intended_use", "out_of_scope"),
    "factors": ("factors", "relevant"),
    "ethics": ("ethical_considerations", "text"),
    "caveats": ("caveats_and_recommendations", "text"),
}
"""The fields that are empty until somebody fills them in, and where they stand."""
SECTIONS = {
    "model_details": "Model details",
    "intended_use": "Intended use",
    "factors": "Factors",
    "metrics": "Metrics",
    "evaluation_data": "Evaluation data",
    "training_data": "Training data",
    "quantitative_analyses": "Quantitative analyses",
    "ethical_considerations": "Ethical considerations",
    "caveats_and_recommendations": "Caveats and recommendations",
    "training_run": "Training run",
}
"""The sections of a card, and what the page calls them."""
_EMPTY = "(nobody has said yet)"


def card_of(
    *,
    spec: TrainSpec,
    run: Run,
    algorithm: Algorithm,
    model: Model,
    directory: Path,
    train: DataSet,
    test: DataSet | None = None,
    metrics: Mapping[str, float] | None = None,
    cost: float = 0.0,
    cost_on_demand: float | None = None,
    seconds: float = 0.0,
    revocations: int = 0,
    real: Sequence[str] = (),
    simulated: Sequence[str] = (),
    sources: Sequence[Source] = (),
) -> dict[str, Any]:
    """The card of the model in `directory`, as plain JSON values.

    `metrics` are of the rows `test`; `cost` and `cost_on_demand` are US dollars, `seconds` the market's, all
    with earlier stretches of the run. `real` and `simulated` say in sentences what of it was which. The date
    is the record's, not the moment at which this is asked.
    """
    learner = learner_of(algorithm)
    header = dict(model.header())
    inline = spec.runtime == "inline"
    return {
        "version": VERSION,
        "model_details": {
            "name": spec.name,
            "kind": str(header.get("kind", "")),
            "formula": str(header.get("formula", "")),
            "date": clock.iso(run.started if run.ended is None else run.ended),
            "learner": learner.kind,
            "settings": msgspec.to_builtins(learner.arguments),
            "code": {
                "tradewind": __version__, "python": platform.python_version(), "numpy": np.__version__
            },
            "digest": arrays_digest(model.arrays()),
            "files": _hashes(directory),
            "licence": "",
            "contact": "",
        },
        "intended_use": {"primary": "", "users": "", "out_of_scope": ""},
        "factors": {"relevant": ""},
        "metrics": {
            "measured": sorted(metrics or {}),
            **({"threshold": header["threshold"]} if "threshold" in header else {}),
        },
        "evaluation_data": None if test is None else _told(test),
        "training_data": {
            **_told(train),
            "epochs": spec.epochs,
            "batch": spec.batch,
            "parts": spec.parts,
            "consistency": spec.consistency,
            "staleness": spec.staleness,
        },
        "quantitative_analyses": {name: _number(value) for name, value in (metrics or {}).items()},
        "ethical_considerations": {"text": ""},
        "caveats_and_recommendations": {"text": "", "known": _caveats(test, train)},
        "training_run": {
            "run": run.id,
            "seed": spec.seed,
            "began": clock.iso(run.started),
            "cost": _number(cost),
            "cost_on_demand": None if cost_on_demand is None else _number(cost_on_demand),
            "seconds": _number(seconds),
            "revocations": revocations,
            "policy": None if inline else spec.policy.name,
            "provider": None if inline else spec.provider.kind,
            "market": None if inline else spec.provider.history,
            "real": list(real) or (["Everything ran in this process; nothing was rented."] if inline else []),
            "simulated": list(simulated),
            "sources": [msgspec.to_builtins(each) for each in sources],
        },
    }  # fmt: skip


def write_card(directory: Path, card: Mapping[str, Any]) -> None:
    """Keep a card beside the model in `directory`: `card.json`, and the same as a page, `card.md`."""
    content = json.dumps(dict(card), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_durably(directory / CARD, content.encode())
    write_durably(directory / PAGE, page_of(card).encode())


def read_card(directory: Path) -> dict[str, Any]:
    """The card beside the model in `directory`.

    Misuse if there is none; Corrupt if it does not read back, or tells of other files than lie there.
    """
    try:
        card = json.loads((directory / CARD).read_bytes())
        stated: dict[str, Any] = card["model_details"]["files"]
        missing = [section for section in SECTIONS if section not in card]
    except FileNotFoundError:
        raise Misuse(
            "there is no model card here", source=str(directory),
            fix="Name a run that is done; its model has one.",
        ) from None  # fmt: skip
    except (ValueError, KeyError, TypeError) as problem:
        raise Corrupt(f"{directory / CARD}: this is no model card ({problem})") from None
    if missing or card.get("version") != VERSION:
        raise Corrupt(f"{directory / CARD}: no model card of version {VERSION}; it lacks {missing}")
    found = _hashes(directory)
    for name, told in stated.items():
        if found.get(name) != told:
            raise Corrupt(f"{directory / name} is not the file that the model's card tells of")
    return dict(card)


def filled(card: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """The card with these fields of `FREE` filled in; Misuse for a field that is none."""
    copy: dict[str, Any] = json.loads(json.dumps(dict(card)))
    for field, text in given.items():
        if field not in FREE:
            raise Misuse("is no field to fill in", source="card", field=field, fix=suggestion(field, FREE))
        section, place = FREE[field]
        copy[section][place] = text
    return copy


def page_of(card: Mapping[str, Any]) -> str:
    """The card as a Markdown page."""
    lines = [f"# Model card: {card['model_details']['name']}"]
    for section, head in SECTIONS.items():
        lines += ["", f"## {head}", ""]
        if card[section] is None:
            lines.append("No rows were held out: nothing is known of how good it is on others.")
        elif not card[section]:
            lines.append("None was measured.")
        else:
            lines += _items(card[section], section)
    return "\n".join(lines) + "\n"


def _items(values: Mapping[str, Any], section: str) -> list[str]:
    free = {place for where, place in FREE.values() if where == section}
    lines = []
    for name, value in values.items():
        shown = name.replace("_", " ")
        if name in free:
            lines.append(f"- {shown}: {value or _EMPTY}")
        elif isinstance(value, list) and name in ("real", "simulated", "known"):
            lines += [f"- {shown}: {each}" for each in value] or [f"- {shown}: nothing"]
        elif name in ("cost", "cost_on_demand"):
            lines.append(f"- {shown}: {'not known' if value is None else dollars(value)}")
        elif name == "seconds" and value is not None:
            whose = "" if values.get("market") is None else " of the market's time"
            lines.append(f"- time: {durations.text(value)}{whose}")
        elif isinstance(value, Mapping):
            lines.append(f"- {shown}:")
            lines += [f"  - {inner}: {_shown(each)}" for inner, each in value.items()]
        elif value is not None:
            lines.append(f"- {shown}: {_shown(value)}")
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    return f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value)


def _told(data: DataSet) -> dict[str, Any]:
    """What a card says of some rows."""
    schema = data.schema
    return {
        "name": data.name,
        "rows": data.rows,
        "digest": data.digest(),
        "features": schema.features,
        "sparse": schema.sparse,
        "labelled": schema.labelled,
        "columns": list(schema.columns),
        "classes": list(schema.classes),
    }


def _caveats(test: DataSet | None, train: DataSet) -> list[str]:
    found = []
    if test is None:
        found.append("It was scored on no rows that it had not learned from.")
    if train.rows is None:
        found.append("The rows passed once and were not kept: the digest is of their schema alone.")
    return found


def _hashes(directory: Path) -> dict[str, dict[str, Any]]:
    """Length and SHA-256 of each file of a model and of its preparation, the card's own left out."""
    found = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.name not in (CARD, PAGE) and not path.name.startswith("."):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[path.relative_to(directory).as_posix()] = {"bytes": path.stat().st_size, "sha256": digest}
    return found


def _number(value: float) -> float | None:
    """A number as JSON has it: None where it is none."""
    return float(value) if math.isfinite(value) else None
