"""A recurrent network over the last three hours of a pool, for any bid: SpotTune's and Tributary's predictor.

SpotTune (2020) and Tributary (Harlap et al., ATC 2018) feed an LSTM the recent market and a bid drawn by
chance. Here the network says how far to move from the odds that `base_rate` and `empirical` count. Its head
takes bid and horizon through rising ramps with weights of one sign, so that the chance falls in the bid and
rises in the horizon whatever was learned. Learning needs torch; answering is numpy.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tradewind.errors import Corrupt, MissingExtra
from tradewind.estimates.revocation.calibration import Platt, platt, sigmoid
from tradewind.estimates.revocation.columns import GRID, Columns
from tradewind.estimates.revocation.experience import Experience
from tradewind.estimates.revocation.lessons import Rows, Usual, drawn, tail, trust, worth
from tradewind.estimates.revocation.sights import FEATURES, Sights, Situations

ROWS = 40_000
"""Rows drawn to learn from."""
EPOCHS = 6
STEPS = 18
"""Steps of the grid that the network reads: three hours."""
_CHANNELS = 5
_HIDDEN = 24
_DENSE = 32
_BATCH = 512
_TAIL = 0.2
_HALF_WAY = 28.0
"""Days of learning after which the network is followed half of the way: it strays further than trees."""
_BID_RAMPS = np.linspace(-4.0, 0.5, 7)
"""Where the ramps over log10 of the bid (and of the bid over the price, one higher) are half-way."""
_HORIZON_RAMPS = np.linspace(2.8, 4.2, 4)
"""The same over log10 of the horizon's seconds."""
_FORMAT = "1"


class Lstm:
    """Weights, the frequencies that they start from, and the calibration of what they say."""

    name = "lstm"

    def __init__(
        self,
        weights: Mapping[str, NDArray[np.float32]] | None,
        calibration: Platt,
        trust: float,
        usual: Usual,
        experience: Experience,
    ) -> None:
        self._weights, self._calibration = weights, calibration
        self._trust, self._usual = trust, usual
        self._columns = experience.columns
        self._deltas, self._horizons = experience.deltas, experience.horizons

    def probabilities(self, cases: Situations, sights: Sights) -> NDArray[np.float64]:
        """(N, D, H)"""
        if self._weights is None or not len(cases):
            return self._usual.chances(cases, sights)
        odds = self._usual.odds(cases, sights)
        coefficients = coefficients_of(
            self._weights, sequences(self._columns, cases), _context(sights.features)
        )
        shape = len(cases), len(self._deltas), len(self._horizons)
        at, delta, horizon = (each.ravel() for each in np.indices(shape))
        delta = np.where(self._columns.has_prices[cases.pools[at]], delta, 0)
        ramps = _ramps(cases.prices[at], self._deltas[delta], self._horizons[horizon])
        usual = odds[at, delta, horizon]
        scores = self._trust * _scores(coefficients[at], usual, ramps) + (1 - self._trust) * usual[:, 1]
        return self._calibration(sigmoid(scores)).reshape(shape)

    def tensors(self) -> tuple[dict[str, NDArray[np.float32]], dict[str, str]]:
        """The weights and the words to go with them, for a safetensors file."""
        names = [str(pool) for pool in self._columns.pools]
        return dict(self._weights or {}), {
            "format": _FORMAT,
            "model": self.name,
            "pools": json.dumps(names),
            "deltas": json.dumps(self._deltas.tolist()),
            "horizons": json.dumps(self._horizons.tolist()),
            "calibration": json.dumps([self._calibration.slope, self._calibration.offset]),
            "trust": json.dumps(self._trust),
        }


def loaded(
    arrays: Mapping[str, NDArray[Any]],
    words: Mapping[str, str],
    experience: Experience,
    rows: NDArray[np.int64],
    *,
    source: str = "lstm",
) -> Lstm:
    """The model of `Lstm.tensors`, with the frequencies of those rows of the grid; Corrupt for aught else."""
    try:
        whole = words["format"] == _FORMAT and words["model"] == Lstm.name
        same = json.loads(words["deltas"]) == experience.deltas.tolist() and (
            json.loads(words["horizons"]) == experience.horizons.tolist()
        )
        slope, offset = json.loads(words["calibration"])
        calibration = Platt(float(slope), float(offset))
        trusted = float(json.loads(words["trust"]))
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupt(f"{source}: not a saved lstm model ({error})") from None
    if not whole or not same:
        raise Corrupt(f"{source}: a model of another format, or of other bids and horizons")
    if not arrays:
        return Lstm(None, calibration, trusted, Usual(experience, rows), experience)
    shapes = _shapes()
    for name, shape in shapes.items():
        if name not in arrays or arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise Corrupt(f"{source}: {name} is missing, or not finite numbers of the shape {shape}")
    weights = {name: np.asarray(arrays[name], np.float32) for name in shapes}
    return Lstm(weights, calibration, trusted, Usual(experience, rows), experience)


def learn(
    experience: Experience,
    rows: NDArray[np.int64],
    *,
    seed: int = 0,
    many: int = ROWS,
    epochs: int = EPOCHS,
) -> Lstm:
    """Learned from `many` rows drawn from those of the grid; `empirical` where there are too few.

    The last fifth of the span is held out for the calibration. MissingExtra without torch.
    """
    usual = Usual(experience, rows)
    _torch()
    found = drawn(experience, rows, many, seed)
    if found is None:
        return Lstm(None, Platt(), 0.0, usual, experience)
    late = tail(found, _TAIL)
    if late.sum() < 50 or not 0 < found.came[~late].mean() < 1:
        return Lstm(None, Platt(), 0.0, usual, experience)
    early, last = found.chosen(~late), found.chosen(late)
    weights = _fitted(experience, early, seed, epochs)
    share = trust(early, _HALF_WAY)
    scores = share * _scores_of(weights, experience, last) + (1 - share) * last.usual[:, 1]
    calibration = platt(sigmoid(scores), last.came, independent=worth(last))
    return Lstm(weights, calibration, share, usual, experience)


def _scores_of(
    weights: Mapping[str, NDArray[np.float32]], experience: Experience, rows: Rows
) -> NDArray[np.float64]:
    coefficients = coefficients_of(
        weights, sequences(experience.columns, rows.cases), _context(rows.sights.features)
    )
    ramps = _ramps(rows.cases.prices, experience.deltas[rows.deltas], experience.horizons[rows.horizons])
    return _scores(coefficients, rows.usual, ramps)


def sequences(columns: Columns, cases: Situations) -> NDArray[np.float32]:
    """(N, STEPS, 5) of the grid's last steps, one after another.

    The channels: the last price and the highest, over the one that stands; changes; slots; and the share of
    the step in which a slot lived, 1 where capacity is not recorded.
    """
    out = np.zeros((len(cases), STEPS, _CHANNELS), np.float32)
    _sequences(
        cases.pools, cases.known, cases.prices, columns.price_bounds, columns.price_times, columns.prices,
        columns.spell_bounds, columns.spell_begins, columns.spell_ends, columns.count_bounds,
        columns.count_times, columns.counts, columns.has_capacity, out,
    )  # fmt: skip
    return out


@njit(cache=True, nogil=True)
def _sequences(
    pools: NDArray[np.int64],
    knowns: NDArray[np.float64],
    standing: NDArray[np.float64],
    price_bounds: NDArray[np.int64],
    times: NDArray[np.float64],
    prices: NDArray[np.float64],
    spell_bounds: NDArray[np.int64],
    begins: NDArray[np.float64],
    ends: NDArray[np.float64],
    count_bounds: NDArray[np.int64],
    count_times: NDArray[np.float64],
    counts: NDArray[np.float64],
    limited: NDArray[np.bool_],
    out: NDArray[np.float32],
) -> None:
    for n in range(len(pools)):
        pool, price = pools[n], standing[n]
        low, high = price_bounds[pool], price_bounds[pool + 1]
        first, last = spell_bounds[pool], spell_bounds[pool + 1]
        start, stop = count_bounds[pool], count_bounds[pool + 1]
        for step in range(STEPS):
            until = knowns[n] - (STEPS - 1 - step) * GRID
            since = until - GRID
            if high > low and not math.isnan(price):
                at = low + np.searchsorted(times[low:high], until, side="right") - 1
                if at >= low:
                    out[n, step, 0] = math.log(prices[at] / price)
                    highest = prices[at]
                    changes = 0
                    while at >= low and times[at] > since:
                        changes += 1
                        at -= 1
                        if at >= low:
                            highest = max(highest, prices[at])
                    out[n, step, 1] = math.log(highest / price)
                    out[n, step, 2] = math.log1p(changes)
            out[n, step, 4] = 1.0
            if limited[pool]:
                at = start + np.searchsorted(count_times[start:stop], until, side="right") - 1
                out[n, step, 3] = math.log1p(counts[at]) if at >= start else 0.0
                spell = first + np.searchsorted(begins[first:last], until, side="right") - 1
                share = 0.0
                while spell >= first and ends[spell] > since:
                    share += min(ends[spell], until) - max(begins[spell], since)
                    spell -= 1
                out[n, step, 4] = share / GRID


def _context(features: NDArray[np.float64]) -> NDArray[np.float32]:
    """(N, F) features of the day, scaled to a few units, 0 where there are none."""
    scales = np.array([1, 1, 1, 1, 3, 4, 5, 5, 1, 1, 1, 1, 1, 8, 1, 1, 2, 8])
    context: NDArray[np.float32] = np.clip(np.nan_to_num(features) / scales, -5.0, 5.0).astype(np.float32)
    return context


def _ramps(
    prices: NDArray[np.float64], deltas: NDArray[np.float64], horizons: NDArray[np.float64]
) -> NDArray[np.float32]:
    """(M, R) ramps from 0 to 1: over the bid, the bid over the price, and the horizon, the bid's negated."""
    bid = np.log10(deltas)[:, None]
    part = np.log10(deltas / np.where(np.isnan(prices), deltas, prices))[:, None]
    horizon = np.log10(horizons)[:, None]
    return np.concatenate(
        [
            -sigmoid((bid - _BID_RAMPS) / 0.4),
            -sigmoid((part - _BID_RAMPS - 1.0) / 0.4),
            sigmoid((horizon - _HORIZON_RAMPS) / 0.2),
        ],
        axis=1,
    ).astype(np.float32)


_RAMPS = 2 * len(_BID_RAMPS) + len(_HORIZON_RAMPS)


def _shapes() -> dict[str, tuple[int, ...]]:
    """The weights by name: torch's LSTM (gates input, forget, cell, output) and two dense layers."""
    return {
        "weight_ih": (4 * _HIDDEN, _CHANNELS),
        "weight_hh": (4 * _HIDDEN, _HIDDEN),
        "bias": (4 * _HIDDEN,),
        "dense": (_DENSE, _HIDDEN + len(FEATURES)),
        "dense_bias": (_DENSE,),
        "head": (3 + _RAMPS, _DENSE),
        "head_bias": (3 + _RAMPS,),
    }


def coefficients_of(
    weights: Mapping[str, NDArray[np.float32]], inputs: NDArray[np.float32], context: NDArray[np.float32]
) -> NDArray[np.float64]:
    """(N, 3 + R) what the network says of each case: an offset, two slopes of odds, the ramps' weights."""
    hidden: NDArray[Any] = np.zeros((len(inputs), _HIDDEN), np.float32)
    cell: NDArray[Any] = np.zeros_like(hidden)
    for step in range(inputs.shape[1]):
        gates = inputs[:, step] @ weights["weight_ih"].T + hidden @ weights["weight_hh"].T + weights["bias"]
        into, forget, new, out = np.split(gates, 4, axis=1)
        cell = sigmoid(forget) * cell + sigmoid(into) * np.tanh(new)
        hidden = sigmoid(out) * np.tanh(cell)
    dense = np.tanh(np.concatenate([hidden, context], axis=1) @ weights["dense"].T + weights["dense_bias"])
    told: NDArray[np.float64] = (dense @ weights["head"].T + weights["head_bias"]).astype(np.float64)
    return told


def _scores(
    coefficients: NDArray[np.float64], odds: NDArray[np.float64], ramps: NDArray[np.float32]
) -> NDArray[np.float64]:
    """(M,) log odds: rising in every column of `odds` and of `ramps`, since softplus is never negative."""
    rising = np.logaddexp(0.0, coefficients[:, 1:])
    told = np.concatenate([odds, ramps], axis=1)
    scores: NDArray[np.float64] = coefficients[:, 0] + (rising * told).sum(axis=1)
    return scores


def _torch() -> Any:
    """The package torch; MissingExtra without it."""
    try:
        import torch  # noqa: PLC0415
    except ModuleNotFoundError:
        raise MissingExtra("torch", "deep", "learning an lstm forecast") from None
    return torch


def _fitted(experience: Experience, rows: Rows, seed: int, epochs: int) -> dict[str, NDArray[np.float32]]:
    """The weights after `epochs` passes of Adam over the log loss; the same for the same seed and torch."""
    torch = _torch()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums over threads are not the same on every machine
    try:
        chance = torch.Generator().manual_seed(seed)
        inputs = torch.from_numpy(sequences(experience.columns, rows.cases))
        context = torch.from_numpy(_context(rows.sights.features))
        ramps = _ramps(rows.cases.prices, experience.deltas[rows.deltas], experience.horizons[rows.horizons])
        told = torch.from_numpy(np.concatenate([rows.usual.astype(np.float32), ramps], axis=1))
        came = torch.from_numpy(rows.came.astype(np.float32))
        weights = {
            name: torch.randn(shape, generator=chance) / math.sqrt(shape[-1])
            for name, shape in _shapes().items()
        }
        for name in ("bias", "dense_bias", "head_bias"):
            weights[name].zero_()
        weights["bias"][_HIDDEN : 2 * _HIDDEN] = 1.0
        weights["head"] *= 0.1
        # It begins as half of either frequency's odds, with ramps that hardly count.
        weights["head_bias"][1:3] = math.log(math.expm1(0.5))
        weights["head_bias"][3:] = -4.0
        parameters = [each.requires_grad_() for each in weights.values()]
        network = torch.nn.LSTM(_CHANNELS, _HIDDEN, batch_first=True)
        optimizer = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=1e-3)
        batches = max(1, math.ceil(len(came) / _BATCH))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * batches)
        no_bias = torch.zeros(4 * _HIDDEN)
        for _ in range(epochs):
            for part in torch.randperm(len(came), generator=chance).split(_BATCH):
                _, (hidden, _) = torch.func.functional_call(
                    network,
                    {
                        "weight_ih_l0": weights["weight_ih"],
                        "weight_hh_l0": weights["weight_hh"],
                        "bias_ih_l0": weights["bias"],
                        "bias_hh_l0": no_bias,
                    },
                    (inputs[part],),
                )
                dense = torch.tanh(
                    torch.cat([hidden[0], context[part]], dim=1) @ weights["dense"].T + weights["dense_bias"]
                )
                out = dense @ weights["head"].T + weights["head_bias"]
                scores = out[:, 0] + (torch.nn.functional.softplus(out[:, 1:]) * told[part]).sum(dim=1)
                loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, came[part])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        return {name: each.detach().numpy().copy() for name, each in weights.items()}
    finally:
        torch.set_num_threads(threads)
