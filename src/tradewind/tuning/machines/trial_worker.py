"""The main of a trial's process: go on from its last checkpoint, tell the study's store, leave when asked to.

It keeps nothing that is not in the store or in a checkpoint, so it may be killed at any instruction: whoever
has the trial next goes on from there. What it says of a trial that another driver has by now is refused by
the store, and it leaves without a word. While the store does not answer it waits, and trains no further.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tradewind.algorithms.importable import found_at, home_of
from tradewind.clock import stopwatch
from tradewind.data.trial_records import COMPLETED, FAILED
from tradewind.data.trial_reports import number_of
from tradewind.data.trial_store import Superseded, TrialStore
from tradewind.errors import Misuse, TradewindError, suggestion
from tradewind.tuning.attempt import Asked, Attempt, Left, Over, Place
from tradewind.tuning.interface import Stopper, copies
from tradewind.tuning.space import Space
from tradewind.tuning.study import Study

PATIENCE = 600.0
"""Seconds of the wall for which a store that does not answer is asked again."""


class Rule(Struct, frozen=True):
    """A rule of stopping, as it is sent to where a trial runs."""

    home: str
    """`module:Class`."""
    arguments: dict[str, Any]


class Objective(Struct, frozen=True):
    """A function of the user's, by the name under which every process finds it."""

    name: str
    """`package.module:function`, or `path/to/file.py:function`."""
    folder: str = ""
    """Where its package is looked for too, beside where Python looks anyway."""
    arguments: dict[str, Any] = {}
    """What it is called with, beside the trial."""


class Order(Struct, frozen=True, kw_only=True):
    """What a trial's process is told to do."""

    trial: Asked
    store: str
    """A path or URL."""
    study: str
    stop: Rule | None
    objective: Objective
    folder: str
    """Of the checkpoints."""
    every: float
    """Seconds of the wall between two checkpoints."""
    per_second: float
    """US dollars that the machine costs in a second of the wall."""
    speed: float
    """How many seconds count for one of the wall."""


def main(arguments: dict[str, Any], leaving: Callable[[], bool]) -> None:
    """Run the trial of `arguments`, an `Order`, until it ends, waits for others, or must leave."""
    order = msgspec.convert(arguments, Order)
    with TrialStore(order.store, patience=PATIENCE) as store:
        try:
            train(order, store, leaving)
        except Superseded:
            return  # another driver has the trial now, or it is over


def train(order: Order, store: TrialStore, leaving: Callable[[], bool]) -> None:
    """Run the trial of an order; raises Superseded where it is another driver's by now.

    What the objective raises is the trial's failure, and so are a value that is not finite and an attempt to
    end the process. Not while the machine is being left: then it may have broken because of that, and the
    trial goes on elsewhere. Where the store itself fails, that is raised.
    """
    trial, elapsed = order.trial, stopwatch()
    # The driver keeps the claim. A process that is forgotten somewhere must not keep it for itself.
    study = Study.open(
        store, order.study, stop=made(order.stop, store, order.study), driver=trial.claim.driver,
        lease=float("inf"),
    )  # fmt: skip
    place = Place(
        folder=Path(order.folder), every=order.every, leaving=leaving, per_second=order.per_second,
        speed=order.speed, tidy=not copies(study.stop),
    )  # fmt: skip
    final, reason = None, ""
    try:
        value = found(order.objective)(Attempt(study, trial, place), **order.objective.arguments)
        final = None if value is None else number_of("value", value)
    except (Over, Left):
        return
    except BaseException as problem:
        if isinstance(problem, TradewindError) and not isinstance(problem, Misuse):
            raise
        traceback.print_exc()
        if leaving():
            return
        reason = f"{type(problem).__name__}: {problem}"
    took = elapsed()
    study.tell(
        trial, final, state=FAILED if reason else COMPLETED, reason=reason,
        dollars=trial.dollars + order.per_second * took, seconds=trial.seconds + order.speed * took,
    )  # fmt: skip


def said(rule: Stopper, source: str = "stop") -> Rule:
    """A rule as another process can make it again: its class, and its arguments read from its attributes."""
    home = home_of(type(rule), source)
    arguments: dict[str, Any] = {}
    for name in inspect.signature(type(rule)).parameters:
        if not hasattr(rule, name):
            raise Misuse(
                f"its argument {name!r} is not kept under its own name", source=source, field=home,
                fix=f"Write self.{name} = {name} in its constructor.",
            )  # fmt: skip
        if not isinstance(getattr(rule, name), Space):
            arguments[name] = getattr(rule, name)
    try:
        return Rule(home, msgspec.to_builtins(arguments))
    except TypeError as problem:
        raise Misuse(
            f"its arguments are no plain values: {problem}", source=source, field=home,
            fix="Take numbers, texts and lists.",
        ) from None  # fmt: skip


def made(rule: Rule | None, store: TrialStore, study: str) -> Stopper | None:
    """The rule that was said; one that asks for a space gets the study's."""
    if rule is None:
        return None
    kind, arguments = found_at(rule.home, "stop"), dict(rule.arguments)
    if "space" in inspect.signature(kind).parameters:
        arguments["space"] = Study.open(store, study).space
    rebuilt: Stopper = kind(**arguments)
    return rebuilt


def named(objective: str | Callable[..., Any], arguments: Mapping[str, Any]) -> Objective:
    """The objective as every process finds it; Misuse if it cannot be found, or called with these arguments.

    Its module is imported.
    """
    name = objective if isinstance(objective, str) else home_of(objective, "objective")
    place, _, function = name.rpartition(":")
    folder = ""
    if place.endswith(".py"):
        name = f"{Path(place).absolute()}:{function}"
    chosen = Objective(name, arguments=dict(arguments))
    call = found(chosen)
    if not place.endswith(".py"):
        top = sys.modules[place.partition(".")[0]]
        file = getattr(top, "__file__", None)
        folder = str(Path(file).parents[1 if hasattr(top, "__path__") else 0].absolute()) if file else ""
    if not callable(call):
        raise Misuse(f"{name} is no function", source="objective", fix="Name one.")
    try:
        inspect.signature(call).bind(None, **arguments)
    except TypeError as problem:
        known = list(inspect.signature(call).parameters)[1:]
        wrong = next((each for each in arguments if each not in known), None)
        fix = f"Give {', '.join(known) or 'none'}." if wrong is None else suggestion(wrong, known or ["none"])
        raise Misuse(str(problem), source=f"objective {name}", field=wrong or "arguments", fix=fix) from None
    except ValueError:
        pass  # one that does not say what it takes
    return Objective(name, folder, dict(arguments))


def found(objective: Objective) -> Any:
    """What an objective's name stands for; Misuse where there is nothing."""
    place, _, function = objective.name.rpartition(":")
    if not place.endswith(".py"):
        if objective.folder and objective.folder not in sys.path:
            sys.path.append(objective.folder)
        return found_at(objective.name, "objective")
    try:
        return functools.reduce(getattr, function.split("."), _script(Path(place)))
    except Exception as problem:  # whatever the user's own file raises
        raise Misuse(
            f"{objective.name!r} cannot be loaded: {type(problem).__name__}: {problem}", source="objective",
            fix="Write path/to/file.py:function; the file must be there where the trials run.",
        ) from problem  # fmt: skip


def _script(path: Path) -> Any:
    """The module that a file is, under a name of its own; its folder is looked in for what it imports."""
    name = f"objective_{path.stem}"
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__file__ == str(path):
        return loaded
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no file of Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # or what it defines could not be pickled
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
