"""A user's class served by itself, without a repository on disk."""

from __future__ import annotations

from pathlib import Path

from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.models.opening import Opening
from tradewind.serving.models.repository import ModelSettings


class OneClass:
    """A repository of the one model `module:Class`, under the name `name`; version 1.

    `folder` is what its constructor gets, if anything.
    """

    def __init__(self, home: str, name: str, folder: Path | None = None) -> None:
        self._home, self._name, self._folder = home, name, folder

    def names(self) -> tuple[str, ...]:
        """The one name."""
        return (self._name,)

    def versions(self, name: str) -> tuple[str, ...]:
        """The one version."""
        self._check(name)
        return ("1",)

    def artefact(self, name: str, version: str = "") -> Path:
        """The folder, or an empty path."""
        self._check(name)
        return self._folder or Path()

    def settings(self, name: str) -> ModelSettings:
        """As they are where nobody said."""
        self._check(name)
        return ModelSettings(python=self._home)

    def opening(self, name: str, version: str = "") -> Opening:
        """How it is opened."""
        self._check(name)
        return Opening(str(self._folder or ""), python=self._home)

    def _check(self, name: str) -> None:
        if name != self._name:
            raise Refusal(RefusalKind.NOT_FOUND, f"there is no model {name[:255]!r}; there is {self._name!r}")
