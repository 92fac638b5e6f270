import pytest
from metric_counts import FORMATS, GAUGES, counted, samples, value

from tradewind.serving.server.http.metrics_page import Metrics


@pytest.mark.parametrize(("accept", "parse"), FORMATS)
def test_dashboards_of_triton_and_mlserver_find_their_names(accept, parse):
    found = samples(Metrics(counted(), lambda: GAUGES).text(accept)[0].decode(), parse)
    triton = {
        "request_success": 2,
        "count": 5,
        "exec_count": 1,
        "request_duration_us": 100.03e6,
        "queue_duration_us": 504e3,
        "compute_input_duration_us": 1000,
        "compute_infer_duration_us": 40e3,
        "compute_output_duration_us": 2000,
        "pending_request_count": 5,
    }
    for name, expected in triton.items():
        assert value(found, f"nv_inference_{name}") == pytest.approx(expected)
    for reason in ("REJECTED", "CANCELED", "BACKEND", "OTHER"):
        assert value(found, "nv_inference_request_failure", reason=reason) == 1
    assert value(found, "model_infer_request_success_total") == 2
    assert value(found, "model_infer_request_failure_total") == 4
    assert value(found, "model_infer_request_duration_count") == 2
    assert value(found, "model_infer_request_duration_sum") == pytest.approx(100.03)
