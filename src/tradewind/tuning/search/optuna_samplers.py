"""Optuna's samplers behind our seam: TPE, CMA-ES and the others (Akiba et al., "Optuna", KDD 2019)."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tradewind.errors import MissingExtra, Misuse, suggestion
from tradewind.tuning.space import Choice, Dimension, Float, Space
from tradewind.tuning.trial import COMPLETED, FAILED, RUNNING, STOPPED, WAITING, Setting, Trial

_FORGETFUL = {"tpe": "TPESampler", "gp": "GPSampler", "random": "RandomSampler"}
"""Samplers that look at the trials alone."""
_MINDFUL = {
    "cma-es": "CmaEsSampler", "nsga-ii": "NSGAIISampler", "nsga-iii": "NSGAIIISampler", "qmc": "QMCSampler",
}  # fmt: skip
"""Samplers that write on each trial what they need for the next: every asking is gone through again."""
_SETTLED = (COMPLETED, STOPPED, FAILED)
_NAME = "trials"


class OptunaSearch:
    """Implements `Searcher` by a sampler of Optuna.

    The study that the sampler sees is made of `trials`, in memory, and its chance is drawn from `seed` and
    the number of the trial, so that a proposal is a function of its arguments. What was made of trials that
    have ended, up to the first that has not, is kept; that changes nothing but time. With samplers that have
    a memory (CMA-ES, NSGA-II and III, QMC) every asking is repeated, trial by trial in the order of their
    numbers, as if each had ended before the next was asked for.

    A finished trial is COMPLETE; a stopped or paused one PRUNED at its last step; a failed one, or one whose
    loss is not finite, PRUNED without a step, which is worse than all to TPE and nothing to the others.
    Foreign trials count as this study's where they fit the space. Conditions hold as they do in the space.

    Args:
        sampler: "tpe", "cma-es", "gp" (needs torch), "nsga-ii", "nsga-iii", "qmc" or "random".
        seed: what chance draws from.
        arguments: the sampler's own. Unless told otherwise TPE has constant_liar=True, so that parallel
            trials differ, and QMC scramble=True, so that the seed counts.

    MissingExtra without Optuna, or what a sampler of it needs; Misuse for what Optuna does not know.
    """

    def __init__(self, sampler: str = "tpe", seed: int = 0, **arguments: Any) -> None:
        known = {**_FORGETFUL, **_MINDFUL}
        if sampler not in known:
            raise Misuse(
                f"{sampler!r} is no sampler", source="search", field="sampler", fix=suggestion(sampler, known)
            )
        self.sampler, self.seed, self.arguments = sampler, seed, arguments
        self._optuna = _vendor()
        self._class: Any = getattr(self._optuna.samplers, known[sampler])
        self._mindful = sampler in _MINDFUL
        self._made(0)
        self._space: Space | None = None
        self._told: list[tuple[Any, ...]] = []
        self._storage: Any = None

    def propose(self, space: Space, trials: Sequence[Trial], number: int) -> Setting | None:
        """What the sampler suggests after `trials`."""
        fitting = [each for each in trials if space.fits(each.setting)]
        level = self._optuna.logging.get_verbosity()
        # That a condition or a choice is beyond a sampler, it would say at every proposal.
        self._optuna.logging.set_verbosity(self._optuna.logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self._proposed(space, fitting, number)
        except ImportError as error:
            raise self._missing() from error
        finally:
            self._optuna.logging.set_verbosity(level)

    def _proposed(self, space: Space, trials: Sequence[Trial], number: int) -> Setting:
        settled = 0
        while settled < len(trials) and trials[settled].state in _SETTLED:
            settled += 1
        said = [_said(each) for each in trials[:settled]]
        if self._space != space or said[: len(self._told)] != self._told:
            self._space, self._told = space, []
            self._storage = self._optuna.storages.InMemoryStorage()
            self._optuna.create_study(storage=self._storage, study_name=_NAME)
        self._tell(self._storage, space, trials[len(self._told) : settled])
        self._told = said
        storage = copy.deepcopy(self._storage)
        self._tell(storage, space, trials[settled:])
        trial = self._ask(storage, number)
        setting: Setting = {}
        for each in space.parameters:
            if space.has(each.name, setting):
                setting[each.name] = _suggested(trial, each.name, each.of)
        return setting

    def _ask(self, storage: Any, number: int) -> Any:
        study = self._optuna.load_study(study_name=_NAME, storage=storage, sampler=self._made(number))
        return study.ask()

    def _tell(self, storage: Any, space: Space, trials: Sequence[Trial]) -> None:
        states = self._optuna.trial.TrialState
        study = storage.get_study_id_from_name(_NAME)
        for each in trials:
            if self._mindful:
                trial = self._ask(storage, each.number)
                # Asked lazily, it would not be asked at all for what is set below.
                assert trial.relative_params is not None
                at = trial._trial_id
            else:
                at = storage.create_new_trial(study)
            self._set(storage, at, space, each.setting)
            loss = each.loss
            fine = each.state != FAILED and loss is not None and math.isfinite(loss)
            if each.state in (WAITING, RUNNING):
                continue
            if fine and each.state == COMPLETED:
                storage.set_trial_state_values(at, states.COMPLETE, [loss])
                continue
            if fine and each.steps:
                storage.set_trial_intermediate_value(at, each.steps[-1], loss)
            storage.set_trial_state_values(at, states.PRUNED, [loss] if fine else None)

    def _set(self, storage: Any, at: int, space: Space, setting: Setting) -> None:
        for each in space.parameters:
            if each.name in setting:
                kind = _distribution(self._optuna, each.of)
                value = setting[each.name]
                said = each.of.index(value) if isinstance(each.of, Choice) else value
                storage.set_trial_param(at, each.name, kind.to_internal_repr(said), kind)

    def _made(self, number: int) -> Any:
        arguments = dict(self.arguments)
        if self.sampler == "tpe":
            arguments.setdefault("constant_liar", True)
        if self.sampler == "qmc":
            arguments.setdefault("scramble", True)
        # A sequence is one for all numbers; other chance is drawn anew for each.
        spawned = np.random.SeedSequence([self.seed, number] if self.sampler != "qmc" else [self.seed])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self._class(seed=int(spawned.generate_state(1)[0]), **arguments)
        except ImportError as error:
            raise self._missing() from error
        except TypeError as error:
            raise Misuse(
                str(error), source="search", field=self.sampler, fix="See Optuna's pages."
            ) from error

    def _missing(self) -> MissingExtra:
        package, extra = ("cmaes", "tuning") if self.sampler == "cma-es" else ("torch", "deep")
        return MissingExtra(package, extra, f"Optuna's sampler {self.sampler}")


def _vendor() -> Any:
    try:
        import optuna  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra("optuna", "tuning", "this search") from error
    return optuna


def _said(trial: Trial) -> tuple[Any, ...]:
    """What is told of a trial, comparable where a loss is nan."""
    keys = tuple((name, isinstance(value, bool), value) for name, value in trial.setting.items())
    return trial.number, trial.foreign, keys, trial.state, trial.steps[-1:], repr(trial.loss)


def _distribution(optuna: Any, kind: Dimension) -> Any:
    if isinstance(kind, Choice):
        # Told by their places, for to Optuna True is 1.
        return optuna.distributions.CategoricalDistribution(range(len(kind.values)))
    if isinstance(kind, Float):
        return optuna.distributions.FloatDistribution(kind.low, kind.high, log=kind.log)
    return optuna.distributions.IntDistribution(kind.low, kind.high, log=kind.log)


def _suggested(trial: Any, name: str, kind: Dimension) -> Any:
    if isinstance(kind, Choice):
        return kind.values[trial.suggest_categorical(name, range(len(kind.values)))]
    if isinstance(kind, Float):
        return trial.suggest_float(name, kind.low, kind.high, log=kind.log)
    return trial.suggest_int(name, kind.low, kind.high, log=kind.log)
