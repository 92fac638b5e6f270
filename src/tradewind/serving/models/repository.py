"""A repository of models on disk, laid out as Triton's, with versions as numbered folders.

    models/
      churn/              a model by the folder's name
        model.toml        optional: how it is served
        1/model.onnx      a version: a folder with one artefact in it
        10/model.onnx
      price/model.skops   an artefact without versions counts as version 1
      fraud.onnx          so does a file

A path that is itself an artefact is a repository of that one model, under the name of its file or folder.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from tradewind.errors import Misuse, suggestion
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.models.opening import Opening

SETTINGS = "model.toml"
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_NAME = re.compile(r"[^\x00-\x1f\x7f/\\]{1,255}")
_ARTEFACTS = (".onnx", ".skops", ".pt2", ".safetensors")
_FILES = (*_ARTEFACTS, ".pkl", ".pickle", ".joblib", ".pt", ".pth", ".h5", ".keras")
"""Endings of what is listed as a model, served or refused."""

Positive = Annotated[int, Meta(ge=1)]


class Latest(Struct, frozen=True, forbid_unknown_fields=True):
    """The newest versions only."""

    latest: Positive = 1


class Trust(Struct, frozen=True):
    """What the operator consents to, whoever wrote the repository."""

    code: tuple[str, ...] = ()
    """Classes, as `module:Class`, that settings may name; `module:*` for all of a module."""
    types: tuple[str, ...] = ()
    """Types that skops files may hold, as `package.module.Type`."""
    unscanned: bool = False
    """Whether files beside classes in Python are not scanned."""

    def allows(self, home: str) -> bool:
        """Whether a class may be imported and run."""
        return home in self.code or f"{home.partition(':')[0]}:*" in self.code


class ModelSettings(Struct, frozen=True, forbid_unknown_fields=True, rename={"python": "class"}):
    """The fields of `model.toml`; each may be left out."""

    max_batch: Annotated[int, Meta(ge=0)] = 64
    """Rows that are run together at most; 0 never batches."""
    instances: Positive = 1
    """Replicas that run it."""
    versions: Latest | str | tuple[Positive, ...] = Latest()
    """Which are served: `{latest = 2}`, `"all"`, or numbers such as `[1, 3]`."""
    warm_up: bool = True
    """Whether it must answer requests of zeros before it serves."""
    shapes: dict[str, tuple[Annotated[int, Meta(ge=0)], ...]] = {}
    """Lengths of open dimensions in those requests, by the input's name, without the rows."""
    slo: Annotated[float, Meta(gt=0)] | None = None
    """Seconds within which an answer is due."""
    threads: Positive = 1
    """Threads of one operator."""
    python: str = ""
    """`class` in the file: `module:Class` of a model in Python, which the operator must trust."""
    network: str = ""
    """`module:Class` of the network that weights belong to, which the operator must trust."""
    parameters: dict[str, str] = field(default_factory=dict)
    """Whatever else its owner wants told in the model's configuration."""


class Repository:
    """Names, versions and settings; what is on disk is looked at again each time, and nothing is opened."""

    def __init__(self, root: str | os.PathLike[str], trust: Trust | None = None, name: str = "") -> None:
        """`name` is what a single model is called, else as its file or folder. Misuse if nothing is there."""
        self.root, self.trust = Path(root), trust or Trust()
        if not self.root.exists():
            raise Misuse(
                "there is nothing here", source=str(root), fix="Give a folder of models, or a model."
            )
        self._alone = name or _name_of(self.root) if _holds_model(self.root) else ""

    def names(self) -> tuple[str, ...]:
        """Every model's name, ascending."""
        if self._alone:
            return (self._alone,)
        found = set()
        for each in self.root.iterdir():
            if not each.name.startswith(".") and _NAME.fullmatch(each.name):
                if each.is_dir():
                    found.add(each.name)
                elif each.suffix in _FILES:
                    found.add(each.stem)
        return tuple(sorted(found))

    def versions(self, name: str) -> tuple[str, ...]:
        """The versions of a model that its settings let be served, in the numbers' order."""
        wanted, there = self.settings(name).versions, self._there(name)
        if isinstance(wanted, Latest):
            return there[-wanted.latest :]
        if isinstance(wanted, str):
            return there
        for number in wanted:
            if str(number) not in there:
                raise Misuse(
                    f"there is no version {number}", source=str(self._settings_file(name)), field="versions",
                    fix=f"There are: {', '.join(there) or 'none'}.",
                )  # fmt: skip
        return tuple(str(number) for number in sorted(set(wanted)))

    def artefact(self, name: str, version: str = "") -> Path:
        """Where a version lies, the newest that is served if none is named. NOT_FOUND if there is none."""
        there = self.versions(name)
        if not version and there:
            version = there[-1]
        if version not in there:
            told = f"version {version!r}" if version else "a version"
            raise Refusal(
                RefusalKind.NOT_FOUND,
                f"model {name!r} has not {told}; there are: {', '.join(there) or 'none'}",
            )
        where = self._place(name)
        return where / version if (where / version).is_dir() else where

    def settings(self, name: str) -> ModelSettings:
        """How a model is served. Misuse, naming file and field, where its `model.toml` cannot be meant."""
        file = self._settings_file(name)
        if not file.is_file():
            return ModelSettings()
        try:
            told = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as problem:
            raise Misuse(f"is no TOML ({problem})", source=str(file), fix="Mend the line.") from None
        return settings_of(told, str(file))

    def opening(self, name: str, version: str = "") -> Opening:
        """How a version is opened. Misuse where its settings name code that the operator did not trust."""
        settings, where = self.settings(name), self.artefact(name, version)
        for key, home in (("class", settings.python), ("network", settings.network)):
            if home and not self.trust.allows(home):
                raise Misuse(
                    f"{home} is code, which is not run because a file says so",
                    source=str(self._settings_file(name)), field=key,
                    fix=f"If it is yours, trust it when you start the server: {home}.",
                )  # fmt: skip
        return Opening(
            str(where), settings.python, settings.network, self.trust.types, settings.threads,
            settings.warm_up, settings.shapes, self.trust.unscanned,
        )  # fmt: skip

    def _there(self, name: str) -> tuple[str, ...]:
        where = self._place(name)
        if where.is_dir():
            found = [each.name for each in where.iterdir() if _VERSION.fullmatch(each.name) and each.is_dir()]
            if found:
                return tuple(sorted(found, key=int))
            if not any(each.name != SETTINGS for each in where.iterdir()) and not self.settings(name).python:
                return ()
        return ("1",)

    def _place(self, name: str) -> Path:
        """Where a model lies. NOT_FOUND for a name that is none, or leads out of the repository."""
        if self._alone and name == self._alone:
            return self.root
        if not self._alone and _NAME.fullmatch(name) and not name.startswith("."):
            folder = self.root / name
            if folder.is_dir():
                return folder
            for ending in _FILES:
                file = self.root / f"{name}{ending}"
                if file.is_file():
                    return file
        raise Refusal(RefusalKind.NOT_FOUND, f"there is no model {name[:255]!r}; {self._known(name)}")

    def _known(self, name: str) -> str:
        names = self.names()
        return suggestion(name[:255], names) if 0 < len(names) <= 100 else f"there are {len(names)} models"

    def _settings_file(self, name: str) -> Path:
        where = self._place(name)
        return where / SETTINGS if where.is_dir() else where.with_name(f"{where.name}.toml")


def settings_of(told: dict[str, Any], source: str = SETTINGS) -> ModelSettings:
    """Settings of plain values, such as a file's, or a load request's; Misuse, naming the field."""
    known = msgspec.structs.fields(ModelSettings)
    for key in told:
        if key not in {each.encode_name for each in known}:
            raise Misuse(
                "there is no such setting", source=source, field=key,
                fix=suggestion(key, [each.encode_name for each in known]),
            )  # fmt: skip
    try:
        settings = msgspec.convert(told, ModelSettings)
    except msgspec.ValidationError as problem:
        reason, _, place = str(problem).partition(" - at `$.")
        key = re.split(r"[.\[`]", place)[0] or next(iter(told), "")
        raise Misuse(reason, source=source, field=key, fix=f"Such as: {_EXAMPLES.get(key, key)}.") from None
    if isinstance(settings.versions, str) and settings.versions != "all":
        raise Misuse(
            f"{settings.versions!r} is no choice of versions", source=source, field="versions",
            fix=f"Such as: {_EXAMPLES['versions']}.",
        )  # fmt: skip
    if settings.python and settings.network:
        raise Misuse(
            "a class and a network are named", source=source, field="network", fix="Name one of them."
        )
    return settings


_EXAMPLES = {
    "max_batch": "max_batch = 64", "instances": "instances = 2", "warm_up": "warm_up = false",
    "versions": 'versions = {latest = 2}, versions = "all" or versions = [1, 3]',
    "shapes": "shapes = {image = [3, 224, 224]}", "slo": "slo = 0.05", "threads": "threads = 1",
    "class": 'class = "module:Class"', "network": 'network = "module:Class"',
    "parameters": 'parameters = {owner = "us"}',
}  # fmt: skip


def _holds_model(root: Path) -> bool:
    """Whether a path is itself a model: a file, or a folder with an artefact or numbered versions in it."""
    if root.is_file() or (root / SETTINGS).is_file() or (root / "model" / "model.safetensors").is_file():
        return True
    for each in root.iterdir():
        if each.is_file() and each.stem == "model" and each.suffix in _FILES:
            return True
        if each.is_dir() and _VERSION.fullmatch(each.name):
            return True
    return False


def _name_of(root: Path) -> str:
    whole = root.resolve()
    return (whole.stem if whole.is_file() else whole.name) or "model"
