import pytest

from tradewind.serving.calls import DurationStatistic, RefusalKind
from tradewind.serving.server.metrics.meters import Histogram, Meters


def test_a_value_on_a_bound_lies_below_it():
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 7.0):
        histogram.add(value)
    assert histogram.counts == [2, 2, 1] and histogram.sum == 12.0 and histogram.count == 5


def test_calls_are_counted_by_how_they_end():
    meter = Meters().model("a", "1", 0.1)
    for _ in range(7):
        meter.began()
    assert meter.in_progress == 7
    meter.answered(0.01, 0.02, 0.1, 4)
    meter.answered(0.02, 0.02, 0.25, 2)
    meter.refused(RefusalKind.MALFORMED)
    meter.refused(RefusalKind.OVERLOADED, 0.5)
    meter.refused(RefusalKind.FAILED, 0.25)
    meter.cancelled()
    assert meter.in_progress == 1
    assert (meter.answers, meter.failures, meter.rows) == (2, 4, 6)
    # 0.1 s is in time; one was late, two were refused for no fault of their own.
    assert (meter.late, meter.missed, meter.judged) == (1, 3, 4)


def test_statistics_are_the_same_counts():
    meter = Meters().model("a", "1")
    meter.began()
    meter.answered(0.25, 0.5, 1.0, 3)
    meter.began()
    meter.refused(RefusalKind.FAILED, 2.0)
    meter.batch(3, 0.5, 100.0, 0.125, 0.0625)
    meter.batch(3, 0.25, 90.0)
    meter.batch(1, 0.25)
    told = meter.statistics()
    assert (told.name, told.version, told.last_inference) == ("a", "1", 100.0)
    assert (told.inferences, told.executions) == (3, 3)
    assert told.success == DurationStatistic(1, 1.0) and told.fail == DurationStatistic(1, 2.0)
    assert told.queue == DurationStatistic(1, 0.25) and told.compute_infer == DurationStatistic(1, 0.5)
    assert told.compute_input == DurationStatistic(3, 0.125)
    assert told.compute_output == DurationStatistic(3, 0.0625)
    assert told.batches == {1: DurationStatistic(1, 0.25), 3: DurationStatistic(2, 0.75)}


def test_sizes_of_batches_do_not_fill_the_memory():
    meter = Meters().model("a", "1")
    for rows in range(1, 3001):
        meter.batch(rows, 0.5)
    meter.batch(7, 0.25)
    assert len(meter.batch_sizes) == 1024 and meter.statistics().executions == 3001
    assert meter.statistics().batches[7] == DurationStatistic(2, 0.75)


def test_a_model_has_one_meter_until_it_is_forgotten():
    meters = Meters()
    first = meters.model("b", "1", 0.5)
    assert meters.model("b", "1") is first and first.objective == 0.5
    meters.model("b", "2")
    meters.model("a", "9")
    assert [(meter.name, meter.version) for meter in meters] == [("a", "9"), ("b", "1"), ("b", "2")]
    first.began()
    meters.forget("b", "1")
    meters.forget("b", "1")
    assert meters.model("b", "1").begun == 0


def test_calls_without_a_model_are_counted_by_reason():
    meters = Meters()
    meters.refused(RefusalKind.NOT_FOUND)
    meters.refused(RefusalKind.NOT_FOUND)
    assert meters.refusals[RefusalKind.NOT_FOUND] == 2 and not list(meters)
    with pytest.raises(KeyError):
        meters.refused("no kind")
