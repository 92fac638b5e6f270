"""What connections have in common: here, how errors are told."""

import logging

from tradewind import clock
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.server.http.household import Household, log_error
from tradewind.serving.server.http.limits import Limits
from tradewind.serving.server.http.messages import Request
from tradewind.serving.server.http.routes import Routes

REQUEST = Request("GET", "/a", "", {}, b"", 0.0)


def test_errors_are_logged_with_their_traceback_and_told_without(caplog):
    async def main():
        settings = {"token": None, "open_paths": frozenset(), "on_error": log_error}
        house = Household(Routes(), Limits(retry_after=1.2), None, **settings)
        try:
            raise KeyError("secret")
        except KeyError as error:
            response = house.failed(REQUEST, error)
        assert (response.status, response.body) == (500, b'{"error":"the server failed on this request"}')
        refused = house.refused(Refusal(RefusalKind.NO_ROOM, "full"), REQUEST)
        assert (refused.status, refused.body) == (507, b'{"error":"full"}')
        assert house.retry_after() == (("Retry-After", "2"),)

    with caplog.at_level(logging.ERROR):
        clock.serve(main())
    (record,) = caplog.records
    assert record.getMessage() == "GET /a failed"
    assert record.exc_info[0] is KeyError
