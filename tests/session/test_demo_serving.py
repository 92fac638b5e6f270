"""The burst that the demo replays, and what is rented for it; the serving itself is in `test_demo`."""

from __future__ import annotations

import numpy as np
import pytest

from tradewind import clock
from tradewind.errors import MissingExtra, Misuse
from tradewind.session import demo_serving
from tradewind.session.demo_serving import Burst, _renting, recorded, servable, serve_burst
from tradewind.session.replayed_load import moments


def test_the_record_that_is_carried() -> None:
    trace = recorded()
    assert len(trace.counts) == 180 and trace.start == clock.moment("1998-07-08T18:30:00Z")
    assert (trace.counts[0], trace.counts.max(), trace.counts[-1]) == (22363, 217532, 37380)


def test_the_burst_grows_eightfold_and_ebbs() -> None:
    burst = Burst()
    trace = recorded().window(clock.moment(burst.begins), clock.moment(burst.ends))
    assert len(trace.counts) == 144
    per_second = np.histogram(moments(trace, burst.seconds, burst.requests), bins=20, range=(0, 20))[0]
    assert per_second.sum() == burst.requests
    first, most, last = per_second[:2].mean(), per_second.max(), per_second[-1]
    assert most > 4 * first and last < 0.8 * most
    # One machine is not counted on for it, and the fleet that is takes little of two cores.
    assert most > 3 * dict(burst.counted_on)["p2.xlarge"] and most < 150


def test_the_rate_that_it_begins_with_is_expected(tmp_path) -> None:
    burst = Burst(seconds=10.0, requests=1000)
    trace = recorded().window(clock.moment(burst.begins), clock.moment(burst.ends))
    asked = _renting(burst, trace, tmp_path)
    came = moments(trace, burst.seconds, 100_000.0)
    assert asked.expected == pytest.approx((came < 10.0 / 144).sum() / 100 / (10.0 / 144), rel=0.1)
    assert asked.instance_types == ("p2.xlarge", "p3.2xlarge") and asked.counted_on["p3.2xlarge"] == 40.0
    assert asked.provider.start == clock.moment("2020-02-01T03:40:00Z")


def test_what_is_no_model_is_not_served(tmp_path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(Misuse):
        serve_burst(tmp_path / "run", np.zeros((1, 3), np.float32), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_where_serving_is_not_installed_that_is_said_at_once(monkeypatch) -> None:
    said: list[str] = []
    assert servable(said.append) and not said

    def missing() -> None:
        raise MissingExtra("httptools", "serving", "serving over HTTP")

    monkeypatch.setattr(demo_serving, "parser_module", missing)
    assert not servable(said.append)
    assert "httptools" in said[0] and "serving" in said[0]
