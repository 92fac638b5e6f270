"""Meters with known counts, and the lines of a scrape by name and labels."""

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from tradewind.serving.calls import RefusalKind
from tradewind.serving.server.metrics.meters import Gauges, Meters, ModelGauge

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
FORMATS = [("", prometheus), (OPENMETRICS, openmetrics)]
"""By the header Accept: what reads the answer."""
ODD = 'b"\n\\'
"""A name that the formats must escape."""
GAUGES = Gauges(
    (ModelGauge("a", "1", 5, {"busy": 2, "idle": 1}, 4096), ModelGauge(ODD, "2", 0, {}, 100)),
    memory_limit=8192,
    cost_rate=0.75,
    ready=False,
)


def counted():
    meters = Meters()
    meter = meters.model("a", "1", 0.1)
    for _ in range(7):
        meter.began()
    meter.answered(0.004, 0.02, 0.03, 2)
    meter.answered(0.5, 0.02, 100.0, 3)
    meter.refused(RefusalKind.OVERLOADED)
    meter.refused(RefusalKind.FAILED)
    meter.refused(RefusalKind.MALFORMED)
    meter.cancelled()
    meter.batch(5, 0.02, 9.0, 0.001, 0.002)
    meters.model(ODD, "2")
    meters.refused(RefusalKind.NOT_FOUND)
    return meters


def samples(text, parse):
    """The lines' values; every line is there once, and every family says what it means."""
    found = {}
    for family in parse(text):
        assert family.documentation or family.name.startswith("process"), family.name
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def value(found, name, model="a", version="1", **labels):
    return found[name, tuple(sorted({"model": model, "version": version, **labels}.items()))]
