"""Models put to work beside those of a repository: one library of both, for one engine."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from tradewind.errors import Misuse
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.models.opening import Opening
from tradewind.serving.models.repository import ModelSettings, Repository, Trust
from tradewind.serving.server.engine import Library

VERSION = "1"
"""Of everything deployed: another artefact is deployed under another name."""


class _Deployed(Struct):
    repository: Repository
    name: str
    instances: int


class Deployments:
    """Implements `Library`: the models of `base`, and those added, each an artefact with its replicas.

    A name that was added goes before one of the base.
    """

    def __init__(self, base: Library | None = None, trust: Trust | None = None) -> None:
        self._base, self._trust = base, trust
        self._added: dict[str, _Deployed] = {}

    def add(self, name: str, artefact: Path, instances: int = 1) -> None:
        """Offer the artefact at a path under a name. Misuse unless there is just one model."""
        repository = Repository(artefact, self._trust, name)
        found = repository.names()
        if len(found) != 1:
            raise Misuse(
                f"there are {len(found)} models in it", source=str(artefact), fix="Give an artefact of one."
            )
        self._added[name] = _Deployed(repository, found[0], instances)

    def resize(self, name: str, instances: int) -> None:
        """Open a model with another number of replicas from now on."""
        self._added[name].instances = instances

    def remove(self, name: str) -> None:
        """Offer it no more; silent if it is not there."""
        self._added.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._added

    def base_names(self) -> tuple[str, ...]:
        """The names of the base alone."""
        return self._base.names() if self._base else ()

    def names(self) -> tuple[str, ...]:
        """Every model's name, ascending."""
        return tuple(sorted({*self.base_names(), *self._added}))

    def versions(self, name: str) -> tuple[str, ...]:
        """The versions that may be asked for, in ascending order."""
        if name in self._added:
            return (VERSION,)
        return self._of_base(name).versions(name)

    def artefact(self, name: str, version: str = "") -> Path:
        """Where a version lies."""
        if name in self._added:
            deployed = self._added[name]
            return deployed.repository.artefact(deployed.name)
        return self._of_base(name).artefact(name, version)

    def settings(self, name: str) -> ModelSettings:
        """How a model is served: as its own settings say, with the replicas that it was given here."""
        if name in self._added:
            deployed = self._added[name]
            settings = deployed.repository.settings(deployed.name)
            return replace(settings, instances=deployed.instances)
        return self._of_base(name).settings(name)

    def opening(self, name: str, version: str = "") -> Opening:
        """How a version is opened."""
        if name in self._added:
            deployed = self._added[name]
            return deployed.repository.opening(deployed.name)
        return self._of_base(name).opening(name, version)

    def _of_base(self, name: str) -> Library:
        if self._base is None:
            raise Refusal(RefusalKind.NOT_FOUND, f"there is no model {name[:255]!r}")
        return self._base
