"""The variants of a store as a library of models: each a model under its own name."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from tradewind.serving.models.opening import Opening
from tradewind.serving.models.repository import ModelSettings, Trust
from tradewind.serving.server.deployments import Deployments
from tradewind.serving.variants.variant import Variant


class VariantLibrary:
    """Implements `Library`: a variant is opened with its own batch limit and as many replicas as it has."""

    def __init__(self, trust: Trust | None = None) -> None:
        self._deployed = Deployments(trust=trust)
        self._largest: dict[str, int] = {}

    def add(self, variant: Variant) -> None:
        """Offer a variant. Misuse where its artefact is not there."""
        self._deployed.add(variant.name, Path(variant.artefact))
        self._largest[variant.name] = variant.max_batch

    def resize(self, name: str, replicas: int) -> None:
        """Open it with so many replicas from now on."""
        self._deployed.resize(name, replicas)

    def remove(self, name: str) -> None:
        """Offer it no more; silent if it is not there."""
        self._deployed.remove(name)

    def __contains__(self, name: object) -> bool:
        return name in self._deployed

    def names(self) -> tuple[str, ...]:
        """Every variant's name, ascending."""
        return self._deployed.names()

    def versions(self, name: str) -> tuple[str, ...]:
        """The one version."""
        return self._deployed.versions(name)

    def artefact(self, name: str, version: str = "") -> Path:
        """Where it lies."""
        return self._deployed.artefact(name, version)

    def settings(self, name: str) -> ModelSettings:
        """As the settings beside its artefact say, with its batch limit and replicas."""
        return replace(self._deployed.settings(name), max_batch=self._largest[name])

    def opening(self, name: str, version: str = "") -> Opening:
        """How it is opened."""
        return self._deployed.opening(name, version)
