"""What is registered: tasks, their variants and profiles, checked before they are kept.

The place where they are kept is given (`data.variant_store.VariantStore` is one), and keeps documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from tradewind.errors import Corrupt, Misuse
from tradewind.serving.variants.variant import (
    Profile,
    Rated,
    Task,
    Variant,
    check_profile,
    check_task,
    check_variant,
)

T = TypeVar("T")


class KeptVariant(Protocol):
    """A variant as it is kept."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def document(self) -> dict[str, Any]:
        """The variant, as JSON would say it."""
        ...

    @property
    def profile(self) -> dict[str, Any] | None:
        """Its profile, likewise; None where it has not been measured."""
        ...


class Keeper(Protocol):
    """Keeps documents of tasks and variants, durably; see `data.variant_store.VariantStore`."""

    url: str

    def add_task(self, name: str, document: Mapping[str, Any]) -> None:
        """Misuse where the name is taken."""
        ...

    def add_variant(
        self, name: str, task: str, document: Mapping[str, Any], profile: Mapping[str, Any] | None = None
    ) -> None:
        """Misuse where the name is taken or the task unknown."""
        ...

    def put_profile(self, name: str, profile: Mapping[str, Any]) -> None:
        """Misuse where the variant is unknown."""
        ...

    def tasks(self) -> Sequence[tuple[str, dict[str, Any]]]:
        """Names and documents."""
        ...

    def variants(self, task: str = "") -> Sequence[KeptVariant]:
        """Those of a task, or all."""
        ...

    def variant(self, name: str) -> KeptVariant:
        """Misuse where there is none."""
        ...


class Registry:
    """Tasks and variants with their profiles, over a keeper. It remembers nothing itself."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def add_task(self, task: Task) -> None:
        """Register a task. Misuse where it is not well said or its name is taken."""
        check_task(task)
        self._keeper.add_task(task.name, _document(task))

    def add(self, variant: Variant, profile: Profile | None = None) -> None:
        """Register a variant, with its profile where it has been measured.

        Misuse, naming the field and the fix, where one is not well said, the name is taken or the task is
        not registered; then nothing is kept.
        """
        check_variant(variant)
        if profile is not None:
            check_profile(profile, variant)
        document = None if profile is None else _document(profile)
        self._keeper.add_variant(variant.name, variant.task, _document(variant), document)

    def profiled(self, profile: Profile) -> None:
        """Keep a variant's profile, in the place of an older one. Misuse where it is not one of its."""
        check_profile(profile, self.variant(profile.variant))
        self._keeper.put_profile(profile.variant, _document(profile))

    def tasks(self) -> tuple[Task, ...]:
        """Every task, by name."""
        return tuple(self._read(document, Task) for _, document in self._keeper.tasks())

    def variants(self, task: str = "") -> tuple[Variant, ...]:
        """Every variant, by name; of one task where it is given, Misuse if there is none of that name."""
        return tuple(self._read(row.document, Variant) for row in self._keeper.variants(task))

    def variant(self, name: str) -> Variant:
        """That of a name. Misuse, with a suggestion, if there is none."""
        return self._read(self._keeper.variant(name).document, Variant)

    def rated(self, task: str = "") -> tuple[Rated, ...]:
        """The variants that have a profile, by name: those that a query may be sent to."""
        return tuple(
            Rated(self._read(row.document, Variant), self._read(row.profile, Profile))
            for row in self._keeper.variants(task)
            if row.profile is not None
        )

    def profile(self, name: str) -> Profile:
        """The profile of a variant. Misuse where there is no such variant, or it has not been measured."""
        row = self._keeper.variant(name)
        if row.profile is None:
            raise Misuse(f"variant {name!r} has no profile", source=self._keeper.url, fix="Profile it first.")
        return self._read(row.profile, Profile)

    def _read(self, document: dict[str, Any], kind: type[T]) -> T:
        try:
            return msgspec.convert(document, kind)
        except msgspec.ValidationError as error:
            raise Corrupt(f"{self._keeper.url}: a {kind.__name__} does not read back ({error})") from None


def _document(value: msgspec.Struct) -> dict[str, Any]:
    """As JSON says it: lists, no tuples."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    return found
