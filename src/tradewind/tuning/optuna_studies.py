"""Studies of Optuna's as ours, and ours as Optuna's (Akiba et al., "Optuna", KDD 2019).

What one side has no place for goes along: distributions and attributes of Optuna's in notes of our store,
dollars, seconds, reasons and machines' doings in attributes whose names begin with `tradewind:`. So a study
that goes there and back is what it was, but for moments, and for trials that were under way: nobody's process
comes along, so they wait.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from tradewind.data.trial_records import StoredTrial
from tradewind.data.trial_store import TrialStore
from tradewind.errors import MissingExtra, Misuse
from tradewind.tuning.space import Choice, Dimension, Float, Integer, Parameter, Space
from tradewind.tuning.space_documents import described, space_of
from tradewind.tuning.study import Study
from tradewind.tuning.trial import COMPLETED, FAILED, OPEN, STOPPED, WAITING, Setting

_OURS = "tradewind:"
_STUDY, _ATTRIBUTES = "a study of Optuna's", "attributes of Optuna's"
_STATES = {"COMPLETE": COMPLETED, "PRUNED": STOPPED, "FAIL": FAILED}
_COUNTS = ("parent", "revocations", "failures", "moves", "releases")
_MOST_CHOICES = 64
"""Values of a number with a step up to which each is a choice."""


def from_optuna(
    study: Any,
    *,
    storage: Any = None,
    space: Space | Mapping[str, Any] | None = None,
    name: str = "",
    store: TrialStore | str | os.PathLike[str] = "sqlite://",
    **options: Any,
) -> Study:
    """A study with the trials of one of Optuna's, as its own, which can go on.

    `study` is Optuna's, or its name in `storage`. COMPLETE, PRUNED and FAIL are completed, stopped and
    failed; RUNNING and WAITING wait. Where `space` is not given it is read off the trials: the widest
    bounds, and for what only some trials have the first choice or whole number before it that tells these
    from the others. A number with a step is a choice among its values, up to 64 of them, or else loses the
    step. Trials outside the space are left out; `Study.notes` says how many, and what was read off.

    `options` are those of Study. A copy that was cut short is gone on with. MissingExtra without Optuna;
    Misuse for several objectives, for what cannot be read off, and where the study has other trials.
    """
    optuna = _vendor("to read a study of Optuna's")
    if isinstance(study, str):
        study = _loaded(optuna, study, storage)
    if len(study.directions) != 1:
        raise Misuse(
            f"it has {len(study.directions)} objectives", source=study.study_name, field="directions",
            fix="Give a study with one.",
        )  # fmt: skip
    found = study.get_trials(deepcopy=False)
    said: list[str] = []
    if space is None:
        space = _space_of_trials(study, found, said)
    elif not isinstance(space, Space):
        space = Space.of(space, source=study.study_name)
    kept, left_out = [], []
    for each in found:
        trial = _ours(each, space)
        try:
            kept.append((replace(trial, setting=space.check(trial.setting, f"trial {each.number}")), each))
        except Misuse as problem:
            left_out.append(str(problem).rstrip("."))
    said.append(f"{len(kept)} trials of Optuna's study {study.study_name!r} were taken over")
    if left_out:
        said.append(f"{len(left_out)} outside the space were left out ({left_out[0]})")
    there = store if isinstance(store, TrialStore) else TrialStore(store)
    made = {"name": name or study.study_name, "store": there, **options}
    made["direction"] = study.direction.name.lower()
    _copy_in(Study(space, **made), study, kept, "; ".join(said), optuna)
    return Study(space, **made)


def to_optuna(study: Study, *, storage: Any = None, name: str = "") -> Any:
    """A new study of Optuna's with all trials of a study; it is given.

    `storage` is what Optuna takes, or a path of a SQLite file; in memory if not given. Completed, stopped
    and failed trials are COMPLETE, PRUNED and FAIL; those under way are WAITING with their setting, as
    `enqueue_trial` makes them. MissingExtra without Optuna; Misuse where one of the name is there.
    """
    optuna = _vendor("to write a study of Optuna's")
    about, attributes = _kept(study)
    distributions = _distributions(optuna, study.space, about.get("distributions", {}))
    with _quiet(optuna):
        try:
            made = optuna.create_study(
                storage=_address(storage), study_name=name or study.name, direction=study.direction
            )
        except optuna.exceptions.DuplicatedStudyError:
            raise Misuse(
                f"there is a study {name or study.name!r}", source="storage", field="name",
                fix="Choose another name.",
            ) from None  # fmt: skip
        for key, value in about.get("attributes", {}).items():
            made.set_user_attr(key, value)
        made.set_user_attr(_OURS + "space", described(study.space))
        for each in study.trials:
            made.add_trial(_theirs(optuna, each, distributions, attributes.get(each.number, {})))
    return made


# From there


def _ours(each: Any, space: Space) -> StoredTrial:
    """A trial of Optuna's as the store has it, its setting not checked."""
    state = _STATES.get(each.state.name, WAITING)
    attributes = each.user_attrs
    curve = sorted(each.intermediate_values.items())
    params = dict(each.params)
    if state == WAITING:
        params = {**each.system_attrs.get("fixed_params", {}), **params}
        curve = curve or [(int(step), float(value)) for step, value in attributes.get(_OURS + "curve", [])]
    final = each.value if state in (COMPLETED, STOPPED) else None
    if state == STOPPED and curve and final == curve[-1][1]:
        final = None  # Optuna gives a pruned trial its last value
    took = each.duration.total_seconds() if each.duration is not None else 0.0
    return StoredTrial(
        each.number,
        _setting(params, space),
        state,
        tuple(step for step, _ in curve),
        tuple(float(value) for _, value in curve),
        final,
        float(attributes.get(_OURS + "dollars", 0.0)),
        float(attributes.get(_OURS + "seconds", took)),
        reason=str(attributes.get(_OURS + "reason", "")),
    )


def _setting(params: Mapping[str, Any], space: Space) -> Setting:
    """Parameters as the space has them."""
    kinds = {each.name: each.of for each in space.parameters}
    return {name: _settled(kinds[name], value) if name in kinds else value for name, value in params.items()}


def _settled(kind: Dimension, value: Any) -> Any:
    """Of a number with a step the choice that it is but for rounding."""
    if isinstance(kind, Choice) and isinstance(value, float) and value not in kind.values:
        for each in kind.values:
            if isinstance(each, float) and math.isclose(each, value, abs_tol=1e-12):
                return each
    return value


def _copy_in(
    study: Study, source: Any, kept: Sequence[tuple[StoredTrial, Any]], said: str, optuna: Any
) -> None:
    store, name, there = study.store, study.name, study.trials
    if [each.setting for each in there] != [trial.setting for trial, _ in kept[: len(there)]]:
        raise Misuse(
            "it has other trials", source=f"study {name!r} in {store.url}", field="name",
            fix="Choose another name.",
        )  # fmt: skip
    about, attributes = _kept(study)
    to_json = optuna.distributions.distribution_to_json
    spanning: dict[str, str] = about.get("distributions", {})
    kinds = {each.name: each.of for each in study.space.parameters}
    for _, each in kept:
        for key, kind in each.distributions.items():
            if key in kinds and key not in spanning and _spans(kind, kinds[key]):
                spanning[key] = to_json(kind)
    for at, (trial, each) in enumerate(kept):
        number = at if at < len(there) else store.insert(name, trial)
        attributes_there = {
            "user": {key: value for key, value in each.user_attrs.items() if _stays(key)},
            "system": dict(each.system_attrs),
            "distributions": {
                key: text
                for key, kind in each.distributions.items()
                if (text := to_json(kind)) != spanning.get(key)
            },
        }
        if number not in attributes and any(attributes_there.values()):
            text = json.dumps(attributes_there)  # and not ours, for it may hold nan
            store.note(name, _ATTRIBUTES, number=number, document={"attributes": text})
    if not about:
        text = json.dumps({key: value for key, value in source.user_attrs.items() if _stays(key)})
        document = {"distributions": spanning, "attributes": text, "said": said}
        store.note(name, _STUDY, document=document)


def _stays(attribute: str) -> bool:
    """Whether an attribute says what our trials have no place for."""
    ours = attribute.startswith(_OURS)
    return not ours or attribute.removeprefix(_OURS) in _COUNTS


def _space_of_trials(study: Any, trials: Sequence[Any], said: list[str]) -> Space:
    """The space that the trials' distributions span, or that of ours which was exported."""
    exported = study.user_attrs.get(_OURS + "space")
    if exported is not None:
        return space_of(exported, study.study_name)
    kinds: dict[str, list[Any]] = {}
    for each in trials:
        for name, kind in each.distributions.items():
            kinds.setdefault(name, []).append(kind)
    if not kinds:
        raise Misuse(
            "no trial says what there is to search", source=study.study_name, field="space", fix="Give it."
        )
    categories = {name for name, alike in kinds.items() if hasattr(alike[0], "choices")}
    found: list[Parameter] = []
    for name, alike in kinds.items():
        kind = _dimension(alike)
        if not isinstance(kind, Choice) and alike[0].step not in (None, 1):
            said.append(f"{name} loses its step of {alike[0].step}")
        # what tells by chance among a few values of a number would tell less than a category
        known = sorted(found, key=lambda each: each.name not in categories)
        when = _condition(name, trials, known, study.study_name)
        if when:
            said.append(f"{name} goes with {when[0][0]} = {' or '.join(map(repr, when[0][1]))}")
        found.append(Parameter(name, kind, when))
    return Space(tuple(found))


def _condition(
    name: str, trials: Sequence[Any], before: Sequence[Parameter], source: str
) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """What tells trials that have a parameter from those that do not; nothing where all have it."""
    # one that was pruned or that failed may not have come to ask for it, but mostly tells as well
    for states in (("COMPLETE", "PRUNED", "FAIL"), ("COMPLETE",)):
        those = [each for each in trials if each.state.name in states]
        having = [each for each in those if name in each.params]
        lacking = [each for each in those if name not in each.params]
        if not having or not lacking:
            return ()
        for other in before:
            if allowed := _telling(name, other, having, lacking):
                return ((other.name, allowed),)
    raise Misuse(
        f"trial {having[0].number} has it, trial {lacking[0].number} has not, and nothing else tells why",
        source=source, field=name, fix="Give space=, with the condition.",
    )  # fmt: skip


def _telling(name: str, other: Parameter, having: Sequence[Any], lacking: Sequence[Any]) -> tuple[Any, ...]:
    """The values of a parameter with which trials have another one, if no trial without that has them."""
    kind = other.of
    if isinstance(kind, Choice):
        values: Sequence[Any] = kind.values
    elif isinstance(kind, Integer) and kind.high - kind.low < _MOST_CHOICES:
        values = range(kind.low, kind.high + 1)
    else:
        return ()
    if any(other.name not in each.params for each in having):
        return ()
    with_it = {_settled(kind, each.params[other.name]) for each in having}
    without = {_settled(kind, each.params[other.name]) for each in lacking if other.name in each.params}
    if with_it & without:
        return ()
    if isinstance(kind, Choice):
        return tuple(value for value in values if value in with_it)
    # a number that none has tried is as the nearest one that was
    seen = sorted(with_it | without)
    return tuple(
        value for value in values if min((abs(each - value), -each, each) for each in seen)[2] in with_it
    )


def _dimension(kinds: Sequence[Any]) -> Dimension:
    """What a parameter's distributions, which Optuna keeps of one kind, span together."""
    first = kinds[0]
    if hasattr(first, "choices"):
        return Choice(tuple(first.choices))
    low, high = min(each.low for each in kinds), max(each.high for each in kinds)
    whole = isinstance(first.low, int) and isinstance(first.high, int)
    step = first.step
    if step not in (None, 1) and all(each.step == step and _whole((each.low - low) / step) for each in kinds):
        many = round((high - low) / step) + 1
        if many <= _MOST_CHOICES:
            values = [low + at * step for at in range(many)]
            return Choice(tuple(values if whole else [float(f"{each:.12g}") for each in values]))
    if whole:
        return Integer(low, high, first.log)
    return Float(float(low), float(high), first.log)


def _whole(number: float) -> bool:
    return abs(number - round(number)) < 1e-8


def _spans(kind: Any, dimension: Dimension) -> bool:
    """Whether a distribution is all of a dimension, and no less of it for a step."""
    stepped = getattr(kind, "step", None) not in (None, 1)
    return _dimension([kind]) == dimension and (isinstance(dimension, Choice) or not stepped)


# To there


def _theirs(
    optuna: Any, trial: StoredTrial, distributions: Mapping[str, Any], attributes: Mapping[str, Any]
) -> Any:
    """A trial of ours as Optuna has it."""
    user = dict(attributes.get("user", {}))
    system = dict(attributes.get("system", {}))
    for name in ("dollars", "seconds", "reason", *_COUNTS):
        value = getattr(trial, name)
        if name == "seconds" or value not in (None, 0, 0.0, ""):
            user[_OURS + name] = value
    states = optuna.trial.TrialState
    if trial.state in OPEN:
        user.pop(_OURS + "reason", None)  # of the state that it does not keep
        user[_OURS + "state"] = trial.state
        if trial.steps:
            user[_OURS + "curve"] = [list(each) for each in zip(trial.steps, trial.values, strict=True)]
        system["fixed_params"] = trial.setting
        return optuna.trial.create_trial(state=states.WAITING, user_attrs=user, system_attrs=system)
    final = trial.final
    if trial.state == STOPPED and final is None and trial.values:
        final = trial.values[-1]
    state = {COMPLETED: states.COMPLETE, STOPPED: states.PRUNED, FAILED: states.FAIL}[trial.state]
    if trial.state == FAILED or (final is not None and math.isnan(final)):
        final = None
    originals = {
        name: optuna.distributions.json_to_distribution(text)
        for name, text in attributes.get("distributions", {}).items()
    }
    found = optuna.trial.create_trial(
        state=state,
        value=final,
        params=trial.setting,
        distributions={name: originals.get(name, distributions[name]) for name in trial.setting},
        user_attrs=user,
        system_attrs=system,
        intermediate_values=dict(zip(trial.steps, trial.values, strict=True)),
    )
    found.datetime_start = found.datetime_complete - timedelta(seconds=trial.seconds)
    return found


def _distributions(optuna: Any, space: Space, originals: Mapping[str, str]) -> dict[str, Any]:
    """Optuna's own where they span what the space has, or else its nearest."""
    there = optuna.distributions
    found: dict[str, Any] = {}
    for each in space.parameters:
        if each.name in originals:
            kind = there.json_to_distribution(originals[each.name])
            if _spans(kind, each.of):
                found[each.name] = kind
                continue
        if isinstance(each.of, Choice):
            if len(set(each.of.values)) < len(each.of.values):
                raise Misuse(
                    "Optuna takes True for 1 and False for 0", source="space", field=each.name,
                    fix="Name the choices by texts.",
                )  # fmt: skip
            found[each.name] = there.CategoricalDistribution(each.of.values)
        else:
            kind = there.IntDistribution if isinstance(each.of, Integer) else there.FloatDistribution
            found[each.name] = kind(each.of.low, each.of.high, log=each.of.log)
    return found


def _kept(study: Study) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    """What was noted of Optuna's study, and by number of its trials."""
    about: dict[str, Any] = {}
    attributes: dict[int, dict[str, Any]] = {}
    for event in study.store.history(study.name):
        if event.text == _ATTRIBUTES and event.number is not None:
            attributes[event.number] = json.loads(event.document["attributes"])
        elif event.text == _STUDY:
            about = {**event.document, "attributes": json.loads(event.document["attributes"])}
    return about, attributes


# Optuna


def _vendor(purpose: str) -> Any:
    try:
        import optuna  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra("optuna", "tuning", purpose) from error
    return optuna


def _loaded(optuna: Any, name: str, storage: Any) -> Any:
    if (
        isinstance(storage, str | os.PathLike)
        and _address(storage) != storage
        and not os.path.exists(storage)
    ):
        raise Misuse("there is no such file", source=os.fspath(storage), field="storage", fix="Name another.")
    try:
        with _quiet(optuna):
            return optuna.load_study(study_name=name, storage=_address(storage))
    except KeyError:
        raise Misuse(
            f"there is no study {name!r}", source="storage", field="name", fix="Name another."
        ) from None


def _address(storage: Any) -> Any:
    """A storage as Optuna takes it."""
    if isinstance(storage, os.PathLike) or (isinstance(storage, str) and "://" not in storage):
        return f"sqlite:///{os.fspath(storage)}"
    return storage


@contextlib.contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Without Optuna's words at every study and trial."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
