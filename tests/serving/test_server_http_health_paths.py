"""Health as orchestrators ask for it."""

from served_wires import ask
from small_engine import SmallEngine

from tradewind.serving.server.front import OPEN
from tradewind.serving.server.http import health_paths
from tradewind.serving.server.http.routes import Routes


def test_live_and_ready_are_told_apart_and_need_no_token():
    engine, routes = SmallEngine(), Routes()
    health_paths.add_routes(routes, engine)

    def statuses():
        return [ask(routes, "GET", path).status for path in ("/livez", "/readyz", "/healthz")]

    assert statuses() == [200, 200, 200]
    engine.ready = False
    assert statuses() == [200, 503, 200]
    engine.live = False
    assert statuses() == [503, 503, 503]
    assert set(health_paths.PATHS) <= OPEN
