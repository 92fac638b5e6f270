"""What is sold at a fixed price: instance types and on-demand prices, as values."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from tradewind.errors import Misuse, suggestion
from tradewind.market.instances import InstanceType
from tradewind.market.resources import Resources

_ZONE = re.compile(r"(.*\d)[a-z]")


def region_of(zone: str) -> str:
    """The region that a zone lies in: the zone's name without its closing letter.

    >>> region_of("us-east-1a")
    'us-east-1'
    """
    match = _ZONE.fullmatch(zone)
    return match.group(1) if match else zone


class ListPrice(Struct, frozen=True):
    """A seller's on-demand price of a type in a region, with where it is known from."""

    type: InstanceType
    region: str
    per_hour: float
    """US dollars an instance-hour, Linux."""
    as_of: str
    """The day for which the source states it, such as 2020-03-01."""
    source: str


class Catalog:
    """Instance types and their on-demand prices by region."""

    __slots__ = ("_listed", "_types", "name")

    def __init__(self, name: str, prices: Iterable[ListPrice]) -> None:
        self.name = name
        self._types: dict[str, InstanceType] = {}
        self._listed: dict[tuple[str, str], ListPrice] = {}
        for price in prices:
            kind = price.type.name
            if self._types.setdefault(kind, price.type) != price.type:
                raise Misuse(
                    f"{kind} has two shapes", source=name, field="type", fix="Give every row the same one."
                )
            if (kind, price.region) in self._listed:
                raise Misuse(
                    f"{kind} in {price.region} has two prices",
                    source=name,
                    field="price",
                    fix="Keep one of them.",
                )
            if not 0 < price.per_hour < float("inf"):
                raise Misuse(
                    f"{price.per_hour!r} is no price", source=name, field="price", fix="Give dollars an hour."
                )
            self._listed[kind, price.region] = price

    @property
    def types(self) -> tuple[InstanceType, ...]:
        """Every type, by name."""
        return tuple(self._types[name] for name in sorted(self._types))

    @property
    def regions(self) -> tuple[str, ...]:
        """Every region that a price is listed for, by name."""
        return tuple(sorted({region for _, region in self._listed}))

    def type(self, name: str) -> InstanceType:
        """The type of that name. Raises Misuse, with a suggestion, if there is none."""
        if name not in self._types:
            raise Misuse(
                f"no instance type {name!r}",
                source=self.name,
                field="type",
                fix=suggestion(name, self._types),
            )
        return self._types[name]

    def sells(self, type: str, region: str) -> bool:
        """Whether a price of the type is listed for the region."""
        return (type, region) in self._listed

    def listing(self, type: str, region: str) -> ListPrice:
        """The list price of a type in a region, with its source. Raises Misuse if there is none."""
        self.type(type)
        if (type, region) not in self._listed:
            known = [where for kind, where in self._listed if kind == type]
            raise Misuse(
                f"no on-demand price of {type} in {region!r}",
                source=self.name,
                field="region",
                fix=suggestion(region, known),
            )
        return self._listed[type, region]

    def on_demand(self, type: str, region: str) -> float:
        """The on-demand price of a type in a region, US dollars an hour. Raises Misuse if none is listed."""
        return self.listing(type, region).per_hour

    def types_with(self, needed: Resources) -> tuple[InstanceType, ...]:
        """The types that have everything that `needed` asks for, by name."""
        return tuple(kind for kind in self.types if kind.resources.covers(needed))
