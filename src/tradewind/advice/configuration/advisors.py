"""Every advisor by the name that users and files call it, and where it lives."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from tradewind.advice.configuration.interface import Advisor
from tradewind.errors import Misuse, suggestion

_HERE = "tradewind.advice.configuration.rules."

ADVISORS: dict[str, str] = {
    "tradewind": _HERE + "tradewind:Tradewind",
    "cherrypick": _HERE + "cherrypick:CherryPick",
    "lynceus": _HERE + "lynceus:Lynceus",
    "arrow": _HERE + "arrow:Arrow",
    "micky": _HERE + "micky:Micky",
    "best_single": _HERE + "best_single:BestSingle",
    "ernest": _HERE + "ernest:Ernest",
    "paris": _HERE + "paris:Paris",
    "selecta": _HERE + "selecta:Selecta",
    "quasar": _HERE + "quasar:Quasar",
    "transfer": _HERE + "transfer:Transfer",
    "random": _HERE + "random:Random",
    "exhaustive": _HERE + "exhaustive:Exhaustive",
}
"""By name, `module:Class`."""


def advisor(name: str, **options: Any) -> Advisor:
    """The advisor of that name with these options; Misuse, with a suggestion, for what is not there."""
    key = str(name).strip().lower().replace("-", "_")
    if key not in ADVISORS:
        raise Misuse(f"{name!r} is no advisor", source="advisor", field="name", fix=suggestion(key, ADVISORS))
    module, _, called = ADVISORS[key].partition(":")
    made = getattr(import_module(module), called)
    known = list(inspect.signature(made).parameters)
    for each in options:
        if each not in known:
            raise Misuse(
                f"{each!r} is no option of it", source=key, field=each,
                fix=suggestion(each, known) if known else "It has none.",
            )  # fmt: skip
    found: Advisor = made(**options)
    return found
