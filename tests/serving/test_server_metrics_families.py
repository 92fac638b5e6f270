import pytest
from metric_counts import FORMATS, GAUGES, ODD, counted, samples, value

from tradewind.serving.server.http.metrics_page import Metrics


@pytest.mark.parametrize(("accept", "parse"), FORMATS)
def test_everything_counted_is_told(accept, parse):
    body, content_type = Metrics(counted(), lambda: GAUGES).text(accept)
    assert content_type.startswith(accept or "text/plain")
    found = samples(body.decode(), parse)
    outcomes = {"answered": 2, "cancelled": 1, "overloaded": 1, "failed": 1, "malformed": 1, "no_room": 0}
    for outcome, count in outcomes.items():
        assert value(found, "tradewind_requests_total", outcome=outcome) == count
    assert found["tradewind_requests_unplaced_total", (("outcome", "not_found"),)] == 1
    assert value(found, "tradewind_dropped_total", reason="overloaded") == 1
    assert value(found, "tradewind_requests_in_progress") == 1
    assert value(found, "tradewind_rows_total") == 5
    assert value(found, "tradewind_queue_seconds_bucket", le="0.005") == 1
    assert value(found, "tradewind_queue_seconds_bucket", le="0.0025") == 0
    assert value(found, "tradewind_request_seconds_bucket", le="10.0") == 1
    assert value(found, "tradewind_request_seconds_bucket", le="+Inf") == 2
    assert value(found, "tradewind_request_seconds_count") == 2
    assert value(found, "tradewind_request_seconds_sum") == pytest.approx(100.03)
    assert value(found, "tradewind_inference_seconds_sum") == pytest.approx(0.04)
    assert value(found, "tradewind_batch_rows_bucket", le="8.0") == 1
    assert value(found, "tradewind_batch_rows_bucket", le="4.0") == 0
    assert value(found, "tradewind_objective_seconds") == 0.1
    assert value(found, "tradewind_objective_judged_total") == 4
    assert value(found, "tradewind_objective_missed_total") == 3
    assert value(found, "tradewind_objective_attainment") == 0.25
    assert found["tradewind_ready", ()] == 0 and found["tradewind_models_loaded", ()] == 2
    assert value(found, "tradewind_requests_waiting") == 5
    assert value(found, "tradewind_replicas", state="busy") == 2
    assert value(found, "tradewind_model_memory_bytes") == 4096
    assert found["tradewind_memory_limit_bytes", ()] == 8192
    assert found["tradewind_cost_dollars_per_hour", ()] == 0.75
    assert found["process_cpu_seconds_total", ()] > 0 and found["process_resident_memory_bytes", ()] > 1e6
    # A name that the format must escape comes back as it was, and nothing is told of an objective not set.
    assert value(found, "tradewind_requests_in_progress", ODD, "2") == 0
    assert not [key for key in found if "objective" in key[0] and ("version", "2") in key[1]]
