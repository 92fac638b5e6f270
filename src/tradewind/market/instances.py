"""Shapes that are sold, pools that they are sold from, and machines that run."""

from __future__ import annotations

from msgspec import Struct

from tradewind.market.resources import Resources


class InstanceType(Struct, frozen=True):
    """A shape that someone sells."""

    name: str
    resources: Resources


class Pool(Struct, frozen=True, order=True):
    """Where one spot price and one capacity hold: a type in a zone."""

    instance_type: str
    zone: str

    def __str__(self) -> str:
        return f"{self.instance_type}@{self.zone}"


class Instance(Struct, frozen=True):
    """One running machine with its type and zone."""

    id: str
    type: InstanceType
    zone: str
    address: str = ""
    """Where its agent listens, such as unix:/path; empty where nothing listens (a simulation)."""

    @property
    def pool(self) -> Pool:
        """The pool that it came from."""
        return Pool(self.type.name, self.zone)
