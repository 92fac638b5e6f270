"""What a grid search calls things, and what a training spec calls them.

A name is one of the learner's arguments, a field of the spec or of its table `data`, a field of another table
with a dot (`provider.speed`), or Cirrus's own name for one of them (Carreira et al., SoCC 2019; the names are
those of its Python frontend).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from tradewind.algorithms.catalogue import LEARNERS, resolved
from tradewind.errors import Misuse, suggestion
from tradewind.session.data_spec import DataSpec
from tradewind.session.spec import TrainSpec, make_spec
from tradewind.training.job import Learner, build_algorithm

SOURCE = "GridSearch"
_OWN = ("learner", "name", "out")
"""Fields of a spec that a grid search fills in itself."""
_TABLES = ("data", "policy", "workers", "state", "provider")
_TEXTS = {"data": "path", "policy": "name", "provider": "kind"}
"""Tables for which a text will do: the value of this key."""
_CIRRUS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "dataset": ("data", lambda value: value),
    "n_workers": ("workers.count", lambda value: value),
    "n_ps": ("state.shards", lambda value: value),
    "worker_size": ("workers.memory_gib", lambda value: value / 1024),
    "minibatch_size": ("batch", lambda value: value),
    "model_bits": ("data.features", lambda value: 2**value),
    "model_size": ("data.features", lambda value: value),
    "instances": ("workers.instance_types", lambda value: value),
}
"""Cirrus's names of a job's fields: ours, and how a value is said in it (a worker's size is in MB)."""
_CIRRUS_LEARNER: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "learning_rate": ("rate", lambda value: value),
    "epsilon": ("l2", lambda value: 2 * value),
    "opt_method": ("optimizer", lambda value: value),
}
"""Its names of a learner's arguments; its gradient of the decay is 2 epsilon w, ours l2 w."""
_REFUSED = {
    "progress_callback": "Watch with run(UI=True), or read get_top() meanwhile.",
    "train_set": "Hold rows back with split={'test': 0.2}, or name others with test='FILE'.",
    "test_set": "Hold rows back with split={'test': 0.2}, or name others with test='FILE'.",
    "checkpoint_model": "Snapshots are kept every snapshot_every seconds anyway.",
    "resume_model": "Call run() again: it goes on with what was not finished.",
    "threshold_loss": "Give GridSearch a rule with stop=.",
    "name": "Give GridSearch(name=...).",
    "out": "Give GridSearch(out=...).",
    "store": "Give GridSearch(store=...).",
    "num_jobs": "Give GridSearch(num_jobs=...).",
    **dict.fromkeys(
        ("ps_ip_public", "ps_ip_private", "ps_username", "ps_ip_port", "key_name", "key_path"),
        "Leave it out: servers are rented, and found by themselves.",
    ),
}
"""Names that Cirrus takes or GridSearch itself does, and what to do instead."""


class Names(Struct, frozen=True):
    """What may be named for a learner, and where in a spec each name belongs."""

    kind: str
    """The learner, as a spec says it."""
    homes: dict[str, tuple[str, Callable[[Any], Any]]]
    """By name: the dotted field, and how a value is said there."""

    @classmethod
    def of(cls, task: Any) -> Names:
        """The names for a learner: its class, or its kind as a spec says it. Misuse if it is none."""
        kind, signature = _learner(task)
        arguments = [name for name, each in signature.parameters.items() if each.kind not in (2, 4)]
        homes: dict[str, tuple[str, Callable[[Any], Any]]] = {}
        for name, (home, said) in _CIRRUS_LEARNER.items():
            if home in arguments:
                homes[name] = (f"learner.{home}", said)
        homes |= _CIRRUS
        homes |= {name: (f"learner.{name}", _same) for name in arguments}
        # A name that both have is the job's: a learner's own epochs or batches are those of `fit`.
        homes |= {name: (f"data.{name}", _same) for name in DataSpec.__struct_fields__ if name != "path"}
        homes |= {name: (name, _same) for name in TrainSpec.__struct_fields__ if name not in _OWN}
        return cls(kind, homes)

    def check(self, name: str, field: str) -> None:
        """Raise Misuse for a name that means nothing, with the likely one."""
        table, dot, _ = name.partition(".")
        if name in self.homes or (dot and table in _TABLES):
            return
        if name in _REFUSED:
            raise Misuse(f"{name!r} has no place here", source=SOURCE, field=field, fix=_REFUSED[name])
        raise Misuse(
            f"{name!r} is no argument of {self.kind} and no field of a job", source=SOURCE, field=field,
            fix=suggestion(name, self.homes),
        )  # fmt: skip

    def spec(self, given: Mapping[str, Any], *, name: str, out: Path) -> TrainSpec:
        """The spec of a job with these values; Misuse for a value that will not do."""
        document: dict[str, Any] = {"learner": {"kind": self.kind}, "name": name, "out": str(out)}
        said_by: dict[str, str] = {}
        for each, value in given.items():
            home, said = self.homes.get(each, (each, _same))
            if home in said_by:
                raise Misuse(
                    f"{said_by[home]!r} says the same",
                    source=SOURCE,
                    field=each,
                    fix="Leave one of them out.",
                )
            said_by[home] = each
            try:
                _put(document, home, said(_plain(value)))
            except (TypeError, OverflowError) as problem:
                raise Misuse(f"{value!r} will not do", source=SOURCE, field=each, fix=str(problem)) from None
        if "data" not in document:
            raise Misuse(
                "is missing", source=SOURCE, field="dataset",
                fix="Name the rows: param_base={'dataset': ...}.",
            )  # fmt: skip
        spec = make_spec(document, source=SOURCE)
        for field, value in (("runtime", spec.runtime), ("provider", spec.provider.kind)):
            if value in ("inline", "simulated"):
                raise Misuse(
                    f"{value!r} shows no loss on the way", source=SOURCE, field=field,
                    fix="Leave it out: each trial is a job of processes on leases.",
                )  # fmt: skip
        build_algorithm(Learner(self.kind, spec.learner.arguments))
        return spec


def variables(
    hyper_vars: Sequence[Any] | Mapping[str, Any], hyper_params: Sequence[Any] | None
) -> dict[str, list[Any]]:
    """Values by name, of names flat or nested in a list as in Cirrus's examples, or of one mapping."""
    if isinstance(hyper_vars, Mapping):
        if hyper_params is not None:
            raise Misuse(
                "hyper_vars has the values already", source=SOURCE, field="hyper_params", fix="Leave it out."
            )
        names, values = list(hyper_vars), list(hyper_vars.values())
    else:
        names = _flat([hyper_vars] if isinstance(hyper_vars, str) else hyper_vars)
        values = list(hyper_params or ())
        if len(values) == 1 < len(names) and len(values[0]) == len(names):
            values = list(values[0])  # nested as the names are
        elif len(names) == 1 and values and not _listed(values[0]):
            values = [values]
    if not names:
        raise Misuse("there is nothing to try", source=SOURCE, field="hyper_vars", fix="Name a parameter.")
    if len(names) != len(values):
        raise Misuse(
            f"{len(values)} lists of values for {len(names)} names ({', '.join(map(str, names))})",
            source=SOURCE, field="hyper_params", fix="Give one list for each name, in their order.",
        )  # fmt: skip
    found: dict[str, list[Any]] = {}
    for name, each in zip(names, values, strict=True):
        if not isinstance(name, str) or not _listed(each):
            raise Misuse(
                f"{each!r} is no list of values", source=SOURCE, field=str(name), fix="Give such as [0.1, 1]."
            )
        if name in found:
            raise Misuse(f"{name!r} is there twice", source=SOURCE, field="hyper_vars", fix="Name it once.")
        found[name] = [_plain(value) for value in each]
    return found


def _flat(names: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for each in names:
        found += _flat(each) if isinstance(each, list | tuple) else [each]
    return found


def _listed(value: Any) -> bool:
    return isinstance(value, list | tuple | range | np.ndarray)


def _learner(task: Any) -> tuple[str, inspect.Signature]:
    """A learner's kind, as a spec says it, and the signature of its class."""
    if isinstance(task, str):
        home = LEARNERS.get(task, task)
        if ":" not in home:
            close = suggestion(task, LEARNERS)
            raise Misuse(f"{task!r} is no learner", source=SOURCE, field="task", fix=close)
        try:
            return task, inspect.signature(resolved(home))
        except (ImportError, AttributeError) as problem:
            raise Misuse(
                f"{task!r} cannot be imported: {problem}", source=SOURCE, field="task",
                fix="Write module:Class.",
            ) from problem  # fmt: skip
    if not isinstance(task, type) or not callable(getattr(task, "initialize", None)):
        given = task.__name__ if isinstance(task, type) else f"a {type(task).__name__}"
        raise Misuse(
            f"{given} is no class of a learner", source=SOURCE, field="task",
            fix="Give such as tw.MultinomialLogisticRegression, and its arguments in param_base.",
        )  # fmt: skip
    home = f"{task.__module__}:{task.__qualname__}"
    named = LEARNERS.get(task.__qualname__, "") and resolved(LEARNERS[task.__qualname__]) is task
    return task.__qualname__ if named else home, inspect.signature(task)


def _put(document: dict[str, Any], home: str, value: Any) -> None:
    """Set a dotted field, in a table that may have been given as a text; tables are laid together."""
    table = document
    *path, last = home.split(".")
    for name in path:
        inner = table.get(name, {})
        table[name] = inner = {_TEXTS[name]: inner} if isinstance(inner, str) and name in _TEXTS else inner
        table = inner
    if isinstance(value, str) and not path and last in _TEXTS:
        value = {_TEXTS[last]: value}
    if isinstance(value, dict) and isinstance(table.get(last), dict):
        value = {**table[last], **value}
    table[last] = value


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value) if isinstance(value, Path) else value


def _same(value: Any) -> Any:
    return value
