"""Chance of a batch: the same wherever it is read again, and no two batches alike."""

from reference_state import ReferenceState

from tradewind.algorithms.chance import chance_of


def drawn(seed=1, worker=0, clock=0, purpose=0):
    state = ReferenceState()
    state.worker, state.clock = worker, clock
    return chance_of(seed, state, purpose).integers(2**60)


def test_it_belongs_to_seed_worker_clock_and_purpose():
    assert drawn() == drawn() == drawn(worker=None)
    assert len({drawn(), drawn(seed=2), drawn(worker=1), drawn(clock=1), drawn(purpose=1)}) == 5
