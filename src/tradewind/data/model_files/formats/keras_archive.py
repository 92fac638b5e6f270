"""Keras' archives (.keras): `config.json`, `metadata.json`, the weights, and assets, in a zip."""

from __future__ import annotations

from tradewind.data.model_files.containers.zip_archive import opened
from tradewind.data.model_files.containers.zip_directory import Doubt, looks_like_zip, members_of
from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.formats.json_text import RULES as JSON_RULES
from tradewind.data.model_files.formats.json_text import read_json
from tradewind.data.model_files.formats.keras_config import RULES as KERAS_RULES
from tradewind.data.model_files.formats.keras_config import judge
from tradewind.data.model_files.inspection import Inspection, Reading, Source

_CONFIG, _METADATA = "config.json", "metadata.json"
_DOCUMENTS = (_CONFIG, _METADATA)
_WEIGHTS = ("model.weights.h5", "model.weights.npz", "model.weights.json")
RULES = {
    rule.id: rule
    for rule in (
        Rule(
            "keras-member", "undecided", "The archive has a member that Keras does not write there.",
            "Save the model again.",
        ),
        Rule(
            "keras-config", "blocked",
            "The archive's configuration is no object, so that it cannot be judged.",
            "Save the model again.",
        ),
    )
}  # fmt: skip


def recognises(source: Source) -> bool:
    """Whether the file is a zip with a Keras configuration and its metadata or weights at the top."""
    if not looks_like_zip(source):
        return False
    try:
        names = {member.name for member in members_of(source)}
    except Doubt:
        return False
    return _CONFIG in names and bool(names & {_METADATA, *_WEIGHTS})


def inspect(source: Source, inspection: Inspection) -> None:
    """Judge the configuration; hand on the weights and the assets."""
    try:
        members = members_of(source, inspection.budget.members)
    except Doubt:
        return  # told by the archive's own check
    for member in members:
        if member.name.endswith("/") and not member.size:
            continue
        known = member.name in (*_DOCUMENTS, *_WEIGHTS) or member.name.startswith("assets/")
        if not known and not member.name.startswith("model.weights"):
            inspection.found(
                RULES["keras-member"], f"the member {member.name!r}", source=source, name=member.name
            )
        content = opened(source, member, inspection)
        if content is None:
            continue
        if member.name in _DOCUMENTS:
            inner = Source(content, f"{source.name}!{member.name}".lstrip("!"))
            value = read_json(inner, inspection)
            if isinstance(value, dict):
                judge(value, inner, inspection)
            elif value is not None:
                inspection.found(RULES["keras-config"], f"{member.name} is no object", source=inner)
        else:
            inspection.inside(content, member.name, source)


READING = Reading(
    "keras", recognises, inspect, {**RULES, **JSON_RULES, **KERAS_RULES}, refines="zip"
)  # fmt: skip
