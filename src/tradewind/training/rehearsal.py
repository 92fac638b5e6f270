"""What an instance does while it boots: import all that a task needs, and learn from two rows.

Importing this module is the rehearsal. Compiled kernels are loaded from their cache once, and every task that
is forked afterwards has them.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from tradewind.data.streams import open_data
from tradewind.state.client import StateClient
from tradewind.state.server import Server
from tradewind.state.transport.inprocess import InProcess
from tradewind.training.job import Job, Learner, build_algorithm
from tradewind.training.state_host import fresh_state
from tradewind.training.worker import learn


def rehearse() -> None:
    """Run a job of two sparse rows by the path that a worker takes, and forget it."""
    data = open_data(csr_matrix(np.eye(2, dtype=np.float32)), np.array([0.0, 1.0]))
    job = Job(learner=Learner("LinearLearner"), data={}, parts=1)
    algorithm = build_algorithm(job.learner)
    hub = InProcess(Server(fresh_state(job, algorithm, data)))
    learn(algorithm, data.part(0, 1, job.batch), 0, hub.channel())
    algorithm.finalize(StateClient([hub.channel()]))


rehearse()
