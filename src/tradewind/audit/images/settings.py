"""What an image says about how to run it: the part of an OCI configuration that a workload needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from msgspec import Struct

from tradewind.errors import Misuse


class Settings(Struct, frozen=True):
    """How a container of the image is started."""

    entrypoint: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    """The `Cmd` of an image: what follows the entry point, or is the command itself without one."""
    environment: Mapping[str, str] = {}
    workdir: str = "/"
    user: str = ""
    """A name or number, perhaps with a group after a colon; empty for root."""
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}
    architecture: str = ""
    os: str = ""

    @property
    def command(self) -> tuple[str, ...]:
        """What is run if nobody says otherwise."""
        return self.entrypoint + self.arguments


def settings_of(config: Mapping[str, Any], source: str = "") -> Settings:
    """The settings in an image's configuration. Misuse if a field of it is not what OCI says."""
    inner = config.get("config") or {}
    if not isinstance(inner, dict):
        _refuse(source, "config", "no object")
    environment = {}
    for line in _texts(inner, "Env", source):
        name, _, value = line.partition("=")
        environment[name] = value
    return Settings(
        entrypoint=_texts(inner, "Entrypoint", source),
        arguments=_texts(inner, "Cmd", source),
        environment=environment,
        workdir=_text(inner, "WorkingDir", source) or "/",
        user=_text(inner, "User", source),
        ports=tuple(sorted(_mapping(inner, "ExposedPorts", source))),
        volumes=tuple(sorted(_mapping(inner, "Volumes", source))),
        labels={key: str(value) for key, value in sorted(_mapping(inner, "Labels", source).items())},
        architecture=_text(config, "architecture", source),
        os=_text(config, "os", source),
    )


def _texts(inner: Mapping[str, Any], field: str, source: str) -> tuple[str, ...]:
    found = inner.get(field) or []
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        _refuse(source, field, "no list of texts")
    return tuple(found)


def _text(inner: Mapping[str, Any], field: str, source: str) -> str:
    found = inner.get(field) or ""
    if not isinstance(found, str):
        _refuse(source, field, "no text")
    return str(found)


def _mapping(inner: Mapping[str, Any], field: str, source: str) -> dict[str, Any]:
    found = inner.get(field) or {}
    if not isinstance(found, dict):
        _refuse(source, field, "no object")
    return dict(found)


def _refuse(source: str, field: str, what: str) -> NoReturn:
    raise Misuse(
        f"is {what}", source=source, field=field, fix="The image's configuration is damaged; fetch it again."
    )
