"""Batching rules by their names, for specs, command lines and whoever rather says a word."""

from __future__ import annotations

import inspect
from typing import Any

from tradewind.errors import Misuse, suggestion
from tradewind.serving.batching.clipper import ClipperBatching
from tradewind.serving.batching.cork import CorkBatching
from tradewind.serving.batching.fixed_window import FixedWindow
from tradewind.serving.batching.interface import BatchingRule
from tradewind.serving.batching.mark import MarkBatching
from tradewind.serving.batching.slack import SlackBatching
from tradewind.serving.batching.take_all import TakeAll
from tradewind.serving.batching.triton import TritonBatching

DEFAULT = "slack"
RULES: dict[str, type[Any]] = {
    kind.name: kind
    for kind in (
        SlackBatching,
        TakeAll,
        FixedWindow,
        TritonBatching,
        MarkBatching,
        CorkBatching,
        ClipperBatching,
    )
}
"""Every rule by its name."""


def rule(name: str = DEFAULT, **options: Any) -> BatchingRule:
    """The rule of that name, with the options of its class.

    Misuse, with a suggestion, for a name or an option that there is not, and for a bad value.
    """
    kind = RULES.get(name.replace("-", "_"))
    if kind is None:
        raise Misuse(f"no batching rule {name!r}", source="batching", field="name",
                     fix=suggestion(name, RULES))  # fmt: skip
    known = [each for each in inspect.signature(kind.__init__).parameters if each != "self"]
    if kind.__init__ is object.__init__:
        known = []
    for option in options:
        if option not in known:
            fix = suggestion(option, known) if known else "Leave it out."
            raise Misuse(f"no option {option!r}", source=f"batching {name}", field=option, fix=fix)
    try:
        found: BatchingRule = kind(**options)
    except (TypeError, AttributeError) as problem:
        raise Misuse(f"a value does not fit: {problem}", source=f"batching {name}",
                     field=", ".join(options), fix="See the options of the rule.") from problem  # fmt: skip
    return found
