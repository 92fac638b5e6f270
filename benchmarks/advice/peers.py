"""Optuna's samplers as a fair user would ask them for configurations, for the tables of advice.

Twice each. By features: numbers that are wide, on a logarithmic scale, others plain, words as categories;
the configuration nearest to what the sampler asks for, of those not tried, is run, and the sampler is told of
it under that configuration's own features. By index: one categorical parameter that names the configuration;
a repeated answer is told again at its known value and asked anew, and after twenty such the first of a random
order is taken. The value is the logarithm of cost, what failed or was cut counts as twice the dearest, as it
does for our CherryPick, and three first ones are random (Optuna's own default of ten would leave nothing of
these searches to the sampler). TPE is multivariate by features, which its documentation advises where
parameters hang together; the rest is as it comes.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import optuna
from msgspec import Struct

from tradewind.advice.configuration.interface import AdvisingView, Prediction, Probe, Stop
from tradewind.advice.configuration.plain_outlook import outlook

STARTS, AGAIN = 3, 20


class OptunaPeer(Struct, frozen=True):
    """A sampler of Optuna on a finite space; it never ends by itself."""

    sampler: str
    by_index: bool = False

    @property
    def recommends_unmeasured(self) -> bool:
        return False

    def next(self, view: AdvisingView) -> Probe | Stop:
        """One proposal of a study that has seen all runs."""
        if not view.unseen:
            return Stop("Every configuration was tried.")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study(sampler=self._made(view))
            told = self._told(view)
            for run, value in zip(view.runs, told, strict=True):
                study.add_trial(self._trial(view, run.configuration, value))
            if self.by_index:
                return Probe(self._by_index(view, study, told), "asked of Optuna")
            return Probe(self._by_features(view, study), "asked of Optuna")

    def predict(self, view: AdvisingView) -> Prediction:
        """Optuna tells none."""
        return outlook(view)

    def _made(self, view: AdvisingView) -> optuna.samplers.BaseSampler:
        seed = (view.seed * 1009 + len(view.runs)) % (1 << 31)
        if self.sampler == "tpe":
            return optuna.samplers.TPESampler(
                n_startup_trials=STARTS, multivariate=not self.by_index, seed=seed
            )
        return optuna.samplers.GPSampler(n_startup_trials=STARTS, seed=seed)

    def _told(self, view: AdvisingView) -> list[float]:
        values = [math.log(view.objective.value(run)) for run in view.runs]
        most = max(values, default=0.0) + math.log(2.0)
        return [value if run.whole else most for run, value in zip(view.runs, values, strict=True)]

    def _trial(self, view: AdvisingView, number: int, value: float) -> optuna.trial.FrozenTrial:
        there = _index(view) if self.by_index else _dimensions(view)
        params = {"configuration": number} if self.by_index else _features(view, number)
        return optuna.trial.create_trial(params=params, distributions=there, value=value)

    def _by_index(self, view: AdvisingView, study: optuna.Study, told: list[float]) -> int:
        known = {run.configuration: value for run, value in zip(view.runs, told, strict=True)}
        for _ in range(AGAIN):
            trial = study.ask(_index(view))
            number = int(trial.params["configuration"])
            if number not in known:
                return number
            study.tell(trial, known[number])
        order = np.random.default_rng((view.seed, len(view.runs))).permutation(len(view.space))
        return next(int(number) for number in order if number not in known)

    def _by_features(self, view: AdvisingView, study: optuna.Study) -> int:
        dimensions = _dimensions(view)
        asked = study.ask(dimensions).params
        unseen = np.array(view.unseen)
        far = np.zeros(len(unseen))
        for name, dimension in dimensions.items():
            if isinstance(dimension, optuna.distributions.CategoricalDistribution):
                far += np.array([view.space[int(n)].features[name] != asked[name] for n in unseen])
                continue
            values = np.array([float(view.space[int(n)].features[name]) for n in unseen])
            low, high, there = dimension.low, dimension.high, asked[name]
            if dimension.log:
                values, low, high, there = np.log(values), math.log(low), math.log(high), math.log(there)
            far += ((values - there) / (high - low)) ** 2
        return int(unseen[np.argmin(far)])


def _index(view: AdvisingView) -> dict[str, optuna.distributions.BaseDistribution]:
    return {"configuration": optuna.distributions.CategoricalDistribution(range(len(view.space)))}


def _dimensions(view: AdvisingView) -> dict[str, optuna.distributions.BaseDistribution]:
    found: dict[str, optuna.distributions.BaseDistribution] = {}
    for name in view.space[0].features:
        values = [each.features[name] for each in view.space.configurations]
        if isinstance(values[0], str):
            if len(set(values)) > 1:
                found[name] = optuna.distributions.CategoricalDistribution(
                    sorted({str(each) for each in values})
                )
            continue
        low, high = min(map(float, values)), max(map(float, values))
        if low < high:
            found[name] = optuna.distributions.FloatDistribution(low, high, log=low > 0 and high >= 4 * low)
    return found


def _features(view: AdvisingView, number: int) -> dict[str, float | str]:
    found = view.space[number].features
    return {name: found[name] for name in _dimensions(view)}


PEERS = {
    "tpe": lambda: OptunaPeer("tpe"),
    "tpe_index": lambda: OptunaPeer("tpe", by_index=True),
    "gp": lambda: OptunaPeer("gp"),
    "gp_index": lambda: OptunaPeer("gp", by_index=True),
}
