import prometheus_client
from metric_counts import GAUGES, OPENMETRICS, counted

from tradewind import clock
from tradewind.serving.server.http.messages import Request
from tradewind.serving.server.http.metrics_page import Metrics
from tradewind.serving.server.metrics.meters import Meters


def test_aliases_can_be_left_out():
    text = Metrics(counted(), aliases=False).text()[0].decode()
    assert "tradewind_requests_total{" in text and "nv_" not in text and "model_infer" not in text
    assert "cost_dollars" not in text and "memory_limit" not in text


def test_the_handler_answers_in_the_format_asked_for():
    metrics = Metrics(counted(), lambda: GAUGES)

    async def scrape(accept):
        return await metrics.answer(Request("GET", "/metrics", "", {"accept": accept}, b"", 0.0))

    plain, own = clock.serve(scrape("text/plain")), clock.serve(scrape(OPENMETRICS))
    assert (plain.status, own.status) == (200, 200)
    assert plain.type.startswith("text/plain") and own.type.startswith(OPENMETRICS)
    assert own.body.endswith(b"# EOF\n") and b"# EOF" not in plain.body


def test_two_servers_in_one_process_do_not_mix():
    before = prometheus_client.generate_latest()
    other = Metrics(Meters()).text()[0].decode()
    assert 'model="a"' in Metrics(counted()).text()[0].decode() and 'model="a"' not in other
    assert (
        "tradewind" not in before.decode() and "tradewind" not in prometheus_client.generate_latest().decode()
    )
