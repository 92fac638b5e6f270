from __future__ import annotations

import numpy as np

from tradewind.state.snapshot import WorkerRecord
from tradewind.state.workers import Update, Worker

SOME = (Update("x", np.ones((1, 1))),)


def test_who_left_with_a_batch_that_is_not_in_has_to_come_again():
    worker = Worker(clock=3, sequence=1, tenure=2, hosted=True, left=True, staged=[SOME])
    assert worker.record(bulk=True) == WorkerRecord(3, 0, False, False, 2)
    worker.drop(bulk=True)
    assert worker.expected and not worker.hosted and not worker.staged and worker.sequence == 0


def test_what_is_in_the_tables_is_kept_where_there_are_no_rounds():
    worker = Worker(clock=3, sequence=1, left=True)
    worker.drop(bulk=False)
    assert worker.record(bulk=False) == WorkerRecord(3, 1, True) and not worker.expected


def test_a_record_sets_all_but_the_tenures_back():
    worker = Worker(clock=9, at=9, sequence=4, tenure=5, left=True)
    worker.stand(WorkerRecord(7, 1, False, False, 3))
    assert worker.plain() == {
        "clock": 7, "sequence": 1, "tenure": 5, "hosted": False, "arrived": False, "left": False,
        "forsaken": False,
    }  # fmt: skip
    assert worker.at == 7
