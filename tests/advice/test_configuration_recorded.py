"""Tables of measured runs as advisors take them."""

from tradewind.advice.configuration.recorded import recorded
from tradewind.market.measured_runs import MeasuredRun

FEATURES = {"a": {"machines": 1.0}, "b": {"machines": 2.0}}


def row(workload, where, seconds, status="done", per_hour=1.0):
    program = workload.partition("-")[0]
    return MeasuredRun(
        workload,
        program,
        where,
        per_hour,
        seconds,
        per_hour * seconds / 3600,
        status,
        FEATURES[where],
        {"mb": 1.0},
    )


TABLE = recorded(
    [
        *(row("sort-1", "a", seconds) for seconds in (10, 30, 20)),
        row("sort-1", "b", 5, "failed", 2.0),
        row("sort-2", "b", 50, "done", 4.0),
        row("grep-1", "b", 7, "failed", 3.0),
        row("grep-1", "b", 9, "done", 3.0),
    ]
)


def test_the_space_is_all_that_was_run_on_at_the_median_price():
    assert [each.name for each in TABLE.space.configurations] == ["a", "b"]
    assert TABLE.space.per_hour.tolist() == [1.0, 3.0]
    assert TABLE.inputs["sort-1"] == {"mb": 1.0}


def test_one_run_each_is_the_median_of_whole_ones():
    found = TABLE.one_each("sort-1")
    assert (found[0].seconds, found[1].status) == (20, "failed")
    assert TABLE.one_each("grep-1")[1].seconds == 9


def test_a_corpus_leaves_out_the_same_program_at_any_size():
    assert set(TABLE.corpus("sort").workloads) == {"grep-1"}
    assert set(TABLE.corpus().without("sort-2").workloads) == {"sort-1", "grep-1"}
