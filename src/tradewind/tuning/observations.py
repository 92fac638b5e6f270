"""What trials have shown, as a model of the loss wants it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.stats import yeojohnson

from tradewind.tuning.columns import Columns
from tradewind.tuning.trial import COMPLETED, RUNNING, WAITING, Trial

Array = NDArray[np.float64]

_SKEWED_FROM = 5
"""Losses below which their shape says nothing."""


class Observations(Struct, frozen=True):
    """n trials with an outcome, of this study or earlier ones, and p without."""

    rows: Array
    """(n, width + extra): a setting's columns, then one for each other study, 1 where the trial is of it."""
    losses: Array
    """(n,) made tame; of other studies standardised each by itself, and then of this one too."""
    own: NDArray[np.bool_]
    """(n,) whether a trial is of this study."""
    bent: NDArray[np.bool_]
    """(width + extra,) which columns are numbers."""
    extra: int
    """Other studies."""
    pending: Array
    """(p, width + extra) what runs or waits."""
    units: Array
    """(k, d) points of the best trials, the best first."""
    started: int
    """Trials that this study and, finished, earlier ones have."""
    keys: frozenset[bytes]

    def taken(self, rows: Array) -> NDArray[np.bool_]:
        """(m,) which rows (m, width) this study has tried."""
        return np.array([_key(row) in self.keys for row in rows], np.bool_)


def observed(columns: Columns, trials: Sequence[Trial], identical: Sequence[str], most: int) -> Observations:
    """What `trials` tell of the space of `columns`; at most `most` of them, the best half and the newest.

    Foreign trials that are identical, or of a study named in `identical`, count as this study's. Those
    outside the space, or without an outcome, are left out; so are studies without any finite loss.
    """
    groups: dict[str, list[Trial]] = {"": []}
    pending: list[Array] = []
    keys: set[bytes] = set()
    rows: dict[int, Array] = {}
    for each in trials:
        if not columns.space.fits(each.setting):
            continue
        row = rows[id(each)] = columns.row(each.setting)
        if not each.foreign:
            keys.add(_key(row))
        if each.state not in (WAITING, RUNNING):
            name = "" if each.identical or each.foreign in identical else each.foreign
            groups.setdefault(name, []).append(each)
        elif not each.foreign:
            pending.append(row)
    found: list[tuple[Trial, float, str]] = []
    for name, group in groups.items():
        losses = _tame(_outcomes(group))
        if losses is None:
            if name:
                continue
            losses = np.zeros(len(group))
        found += [(each, float(loss), name) for each, loss in zip(group, losses, strict=True)]
    names = sorted({name for _, _, name in found if name})
    order = sorted(range(len(found)), key=lambda at: (bool(found[at][2]), found[at][1], at))
    if len(found) > most:
        newest = sorted(order[most // 2 :], reverse=True)[: most - most // 2]
        order = order[: most // 2] + newest
    best = [found[at][0] for at in order[:8]]
    kept = [found[at] for at in sorted(order)]
    width = columns.width
    matrix = np.zeros((len(kept), width + len(names)))
    for at, (each, _, name) in enumerate(kept):
        matrix[at, :width] = rows[id(each)]
        if name:
            matrix[at, width + names.index(name)] = 1.0
    return Observations(
        matrix,
        np.array([loss for _, loss, _ in kept]),
        np.array([not name for _, _, name in kept], np.bool_),
        np.concatenate([columns.bent, np.zeros(len(names), np.bool_)]),
        len(names),
        np.array([np.pad(row, (0, len(names))) for row in pending]).reshape(-1, matrix.shape[1]),
        np.array([columns.middle(each.setting) for each in best]).reshape(-1, len(columns.space)),
        sum(1 for each in trials if not each.foreign) + sum(1 for each, _, _ in found if each.foreign),
        frozenset(keys),
    )  # fmt: skip


def _outcomes(group: Sequence[Trial]) -> Array:
    """(n,) the losses, nan for what is not finite; those of unfinished trials carried to the end."""
    finished = [each for each in group if each.state == COMPLETED]
    ends = [each.loss for each in finished]
    finals = [loss for loss in ends if loss is not None and math.isfinite(loss)]
    gains: dict[int, float] = {}
    found = np.full(len(group), np.nan)
    for at, each in enumerate(group):
        loss = each.loss
        if each.state == "failed" or loss is None or not math.isfinite(loss):
            continue
        if each.state != COMPLETED and each.final is None and each.steps and finals:
            step = each.steps[-1]
            if step not in gains:
                gains[step] = _gain(finished, step)
            loss = max(loss - gains[step], min(finals))
        found[at] = loss
    return found


def _gain(finished: Sequence[Trial], step: int) -> float:
    """By how much finished trials fell, in the middle, after a step; 0 where less than three tell."""
    falls = []
    for each in finished:
        then, last = each.loss_at(step), each.loss
        if then is not None and last is not None and math.isfinite(then) and math.isfinite(last):
            falls.append(then - last)
    return max(statistics.median(falls), 0.0) if len(falls) >= 3 else 0.0


def _tame(losses: Array) -> Array | None:
    """The losses standardised, tails drawn in, and the worst for those that are nan; None if all are."""
    fine = np.isfinite(losses)
    if not fine.any():
        return None
    known = losses[fine] / max(float(np.abs(losses[fine]).max()), 1e-300)
    spread = float(known.std())
    if spread < 1e-12:
        return np.where(fine, 0.0, 1.0)
    known = (known - known.mean()) / spread
    if len(known) >= _SKEWED_FROM:
        bent = np.asarray(yeojohnson(known)[0])
        if np.isfinite(bent).all() and bent.std() > 1e-6:
            known = (bent - bent.mean()) / bent.std()
    found = np.empty(len(losses))
    found[fine], found[~fine] = known, known.max()
    return found


def _key(row: Array) -> bytes:
    return (np.round(row, 9) + 0.0).tobytes()
