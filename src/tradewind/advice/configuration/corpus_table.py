"""Runs of other workloads as tables, and configurations as columns that say what matters about them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tradewind.advice.configuration.interface import Array
from tradewind.advice.configuration.runs import Corpus
from tradewind.advice.configuration.space import MACHINES, MEMORY, VCPUS, ConfigurationSpace
from tradewind.market.measured_runs import FAILED


@lru_cache(maxsize=64)
def telling_columns(space: ConfigurationSpace) -> Array:
    """(n, d) columns of deviation one: totals and ratios where machines, vCPUs and memory are told.

    Logarithms of all vCPUs, all memory, machines, memory per vCPU and the price of a vCPU's hour; then what
    else is told. Without those three, what is told and the logarithm of the price.
    """
    machines, vcpus, memory = (space.column(feature) for feature in (MACHINES, VCPUS, MEMORY))
    columns = []
    rest = list(space.columns)
    if (
        machines is not None
        and vcpus is not None
        and memory is not None
        and _above_zero(machines, vcpus, memory)
    ):
        total = machines * vcpus
        columns = [total, machines * memory, machines, memory / vcpus, space.per_hour / total]
        rest = [name for name in rest if name not in (MACHINES, VCPUS, MEMORY)]
    else:
        columns = [space.per_hour]
    found = [np.log(column) for column in columns]
    for name in rest:
        found.append(space.rows[:, space.columns.index(name)])
    kept = [(column - column.mean()) / column.std() for column in found if np.ptp(column) > 1e-9]
    return np.column_stack(kept) if kept else np.zeros((len(space), 0))


@lru_cache(maxsize=64)
def safe_columns(space: ConfigurationSpace) -> tuple[Array, Array]:
    """(n, m) logarithms of what a run may lack, and (n, d) the other columns.

    What a run may lack: memory in all, of a machine, and for a vCPU.
    """
    memory, machines, vcpus = (space.column(feature) for feature in (MEMORY, MACHINES, VCPUS))
    others = [space.rows[:, at] for at, name in enumerate(space.columns) if name != MEMORY]
    rest = np.column_stack(others) if others else np.zeros((len(space), 0))
    if memory is None or not _above_zero(memory):
        return np.zeros((len(space), 0)), rest
    safe = [memory]
    if machines is not None and _above_zero(machines):
        safe.insert(0, memory * machines)
    if vcpus is not None and _above_zero(vcpus):
        safe.append(memory / vcpus)
    return np.log(np.column_stack(safe)), rest


def _above_zero(*columns: Array) -> bool:
    return all(bool((column > 0).all()) for column in columns)


def log_seconds(space: ConfigurationSpace, corpus: Corpus) -> Array:
    """(W, n) means of the logarithm of whole runs' seconds, NaN where there was none; by the names' order."""
    found = np.full((len(corpus.workloads), len(space)), np.nan)
    for row, name in zip(found, sorted(corpus.workloads), strict=True):
        runs = [run for run in corpus.workloads[name] if run.whole]
        _means(row, [run.configuration for run in runs], np.log([run.seconds for run in runs]))
    return found


def outcomes(space: ConfigurationSpace, corpus: Corpus) -> Array:
    """(W, n) 1 where a run came to its end, 0 where all failed, NaN where none did either."""
    found = np.full((len(corpus.workloads), len(space)), np.nan)
    for row, name in zip(found, sorted(corpus.workloads), strict=True):
        for run in corpus.workloads[name]:
            if run.whole:
                row[run.configuration] = 1.0
            elif run.status == FAILED and row[run.configuration] != 1.0:
                row[run.configuration] = 0.0
    return found


def _means(row: Array, where: list[int], values: NDArray[np.float64]) -> None:
    many = np.bincount(where, minlength=len(row)) if where else np.zeros(len(row))
    total = np.bincount(where, weights=values, minlength=len(row)) if where else many
    row[many > 0] = total[many > 0] / many[many > 0]
