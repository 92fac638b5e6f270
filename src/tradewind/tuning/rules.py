"""Rules of search and stopping by their names, for specs, command lines and whoever rather says a word."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from tradewind.errors import Misuse, suggestion
from tradewind.tuning.interface import Searcher, Stopper
from tradewind.tuning.search.random import RandomSearch
from tradewind.tuning.space import Space

_POPULATION = "pbt"
_SEARCH, _STOPPING = "tradewind.tuning.search.", "tradewind.tuning.stopping."

SEARCHERS: dict[str, str] = {
    "random": _SEARCH + "random:RandomSearch",
    "grid": _SEARCH + "grid:FullGrid",
    "sobol": _SEARCH + "sobol:SobolSearch",
    "gp": _SEARCH + "gaussian_process:GaussianProcessSearch",
    "tpe": _SEARCH + "optuna_samplers:OptunaSearch",
    "cmaes": _SEARCH + "optuna_samplers:OptunaSearch",
    _POPULATION: _SEARCH + "population:PopulationTraining",
}
"""What may be tried next, by name, and where it lives: whoever needs none of them loads none."""

STOPPERS: dict[str, str] = {
    "median": _STOPPING + "median_rule:MedianRule",
    "asha": _STOPPING + "asha:Asha",
    "hyperband": _STOPPING + "hyperband:Hyperband",
    "decay_curve": _STOPPING + "decay_curve:DecayCurve",
    "early_curve": _STOPPING + "early_curve:EarlyCurve",
    "last_value": _STOPPING + "last_value:LastValue",
    "race": _STOPPING + "race:Race",
    "widening": _STOPPING + "widening:Widening",
}
"""What may be stopped early, by name."""

_SAMPLERS = {"tpe": "tpe", "cmaes": "cma-es"}
_GIVEN = ("self", "space", "sampler", "max_steps", "arguments")
"""Arguments of a rule that its name or its study says, and not its user."""

SearchLike = Searcher | str | Mapping[str, Any]
"""A rule, its name, or a mapping with its `name` and options."""
StopLike = Stopper | str | Mapping[str, Any]


def searcher(name: str, space: Space, *, steps: int | None = None, **options: Any) -> Searcher:
    """The rule of search of that name, with the options of its class.

    `steps`, of a whole trial, is what `pbt` needs besides. Misuse, with a suggestion, for a name or an option
    that there is not; MissingExtra where the rule needs a package that is not installed.
    """
    key = _known(name, SEARCHERS, "search")
    kind = _resolved(SEARCHERS[key])
    _check_options(key, kind, options, free=key in _SAMPLERS)
    found: Searcher
    if key in _SAMPLERS:
        found = kind(_SAMPLERS[key], **options)
    elif key == _POPULATION:
        found = kind(space, _stated(steps, key), **options)
    else:
        found = kind(**options)
    return found


def stopper(name: str, steps: int | None, **options: Any) -> Stopper:
    """The rule of stopping of that name, for trials of so many steps, with the options of its class.

    Misuse, with a suggestion, for a name or an option that there is not.
    """
    key = _known(name, STOPPERS, "stop")
    kind = _resolved(STOPPERS[key])
    _check_options(key, kind, options)
    found: Stopper = kind(_stated(steps, key), **options)
    return found


def chosen(
    search: SearchLike | None, stop: StopLike | None, space: Space, steps: int | None
) -> tuple[Searcher, Stopper | None]:
    """The rules that are meant: given as they are, by name, or by a mapping of `name` and options.

    Random search where none is given. A rule of search that is one of stopping too, as population-based
    training is, is both.
    """
    look: Any = RandomSearch() if search is None else search
    if isinstance(look, str | Mapping):
        name, options = _spoken(look, "search")
        look = searcher(name, space, steps=steps, **options)
    both = isinstance(look, Stopper) and not isinstance(look, type)
    end: Any = stop
    if isinstance(end, str | Mapping):
        name, options = _spoken(end, "stop")
        own = both and _plain(name) == _POPULATION and not options
        end = look if own else stopper(name, steps, **options)
    if both:
        if end is not None and end is not look:
            raise Misuse(
                f"{type(look).__name__} says itself what becomes of its trials", source="stop",
                fix="Leave stop out, or search by another rule.",
            )  # fmt: skip
        end = look
    _check_rule(look, ("propose",), "search", SEARCHERS)
    if end is not None:
        _check_rule(end, ("judge", "resumed"), "stop", STOPPERS)
    return look, end


def _check_rule(rule: Any, methods: tuple[str, ...], source: str, table: Mapping[str, Any]) -> None:
    if isinstance(rule, type) or not all(callable(getattr(rule, each, None)) for each in methods):
        raise Misuse(
            f"{rule!r} is no rule", source=source, fix=f"Give an instance, or a name: {', '.join(table)}."
        )


def _resolved(home: str) -> Callable[..., Any]:
    module, _, name = home.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


def _spoken(given: str | Mapping[str, Any], source: str) -> tuple[str, dict[str, Any]]:
    if isinstance(given, str):
        return given, {}
    options = {str(key): value for key, value in given.items()}
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise Misuse("it does not say which rule", source=source, field="name", fix='Give name = "...".')
    return name, options


def _known(name: str, table: Mapping[str, Any], source: str) -> str:
    key = _plain(name)
    if key not in table:
        raise Misuse(f"{name!r} is no rule", source=source, field="name", fix=suggestion(key, table))
    return key


def _plain(name: str) -> str:
    found = str(name).strip().lower().replace("-", "_")
    return "cmaes" if found == "cma_es" else found


def _check_options(
    name: str, kind: Callable[..., Any], options: Mapping[str, Any], *, free: bool = False
) -> None:
    takes = inspect.signature(kind).parameters
    known = [each for each in takes if each not in _GIVEN]
    for each in options:
        if each in _GIVEN or (each not in known and not free):
            raise Misuse(
                f"{each!r} is no option of it", source=name, field=each,
                fix=suggestion(each, known) if known else "It has none.",
            )  # fmt: skip
    for each in known:
        of = takes[each]
        if each not in options and of.default is of.empty and of.kind is not of.VAR_KEYWORD:
            raise Misuse(
                "is missing", source=name, field=each, fix=f'Give {{name = "{name}", {each} = ...}}.'
            )


def _stated(steps: int | None, name: str) -> int:
    if steps is None:
        raise Misuse("it is not said", source=name, field="steps", fix="Say how many a trial has.")
    return steps
