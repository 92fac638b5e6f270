"""Decima as a scheduler: the trained network asked at each decision, without torch.

Mao et al., SIGCOMM 2019, section 5. The likeliest stage is taken, and then the likeliest limit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tradewind.advice.scheduling.decima.features import (
    OPTION,
    job_graph,
    joined,
    limit_features,
    limits,
    option_features,
)
from tradewind.advice.scheduling.decima.network import WIDTH, Network, cluster_summary
from tradewind.advice.scheduling.interface import Choice, JobView, SchedulingView

_REMEMBERED = 2048
"""Jobs in a state whose embeddings are kept."""
Floats = NDArray[np.float32]


class Decima:
    """The network's likeliest choice.

    A job in a state is embedded once: what is remembered follows from the view alone, so that equal views
    give equal choices whatever was asked before.
    """

    def __init__(self, network: Network, name: str = "decima") -> None:
        self.name = name
        self._network = network
        self._embedded: dict[tuple[JobView, int], tuple[Floats, Floats]] = {}

    def choose(self, view: SchedulingView) -> Choice | None:
        """The likeliest stage, with the likeliest limit of its job."""
        known = [self._embed(job, view.executors) for job in view.jobs]
        z = cluster_summary(np.stack([share for _, share in known]))
        candidates = [(job, stage) for job in view.jobs for stage in job.runnable]
        rows = np.concatenate([rows for rows, _ in known])
        options = np.array([option_features(view, job) for job, _ in candidates], np.float32)
        seen = np.concatenate((rows, np.broadcast_to(z, (len(rows), WIDTH)), options), axis=1)
        chosen = int(self._network.stage_scores(seen).argmax()) if len(seen) > 1 else 0
        job, stage = candidates[chosen]
        allowed = limits(view, job, stage)
        if len(allowed) == 1:
            return Choice(job.number, stage, allowed[0])
        features = limit_features(view, job, stage)
        row = np.broadcast_to(seen[chosen, :-OPTION], (len(features), seen.shape[1] - OPTION))
        scores = self._network.limit_scores(np.concatenate((row, features), axis=1))
        return Choice(job.number, stage, allowed[int(scores.argmax())])

    def _embed(self, job: JobView, executors: int) -> tuple[Floats, Floats]:
        """Rows of the runnable stages, and the job's share of the cluster's summary."""
        key = (job, executors)
        found = self._embedded.get(key)
        if found is None:
            table = joined([job_graph(job, executors)])
            embedded = self._network.embed(table)
            rows = embedded.stage[table.runnable[0]]
            whose = np.broadcast_to(embedded.job[0], (len(rows), WIDTH))
            found = np.concatenate((rows, whose), axis=1), embedded.share[0]
            if len(self._embedded) >= _REMEMBERED:
                self._embedded.clear()
            self._embedded[key] = found
        return found
