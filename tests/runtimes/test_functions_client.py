"""The client against answers that no host of ours gives: those of AWS on a bad day, and no answer."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from tradewind.errors import MissingExtra, Misuse, Temporary, Unreachable
from tradewind.runtimes.functions.client import Absent, Functions, Throttled


class Staged(BaseHTTPRequestHandler):
    """Answers what the test says, and keeps what was asked."""

    answers: ClassVar[list] = []
    asked: ClassVar[list] = []

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, headers, body = self.answers.pop(0)
        self.asked.append((self.command, self.path))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_DELETE = do_POST

    def log_message(self, *_):
        pass


@pytest.fixture
def stage():
    server = HTTPServer(("127.0.0.1", 0), Staged)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    Staged.answers, Staged.asked = [], []
    functions = Functions(f"http://127.0.0.1:{server.server_port}")
    yield functions
    functions.close()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (429, "TooManyRequestsException", Throttled),
        (429, "SomethingNew", Throttled),
        (502, "EC2UnexpectedException", Temporary),
        (502, "EC2ThrottledException", Throttled),
        (500, "ServiceException", Temporary),
        (404, "ResourceNotFoundException", Absent),
        (400, "InvalidParameterValueException", Misuse),
        (403, "AccessDeniedException", Misuse),
    ],
)
def test_refusals_are_what_our_tree_calls_them(stage, status, kind, error):
    Staged.answers.append((status, {"X-Amzn-ErrorType": kind}, b'{"message": "staged"}'))
    with pytest.raises(error, match="staged") as caught:
        stage.call("f", b"{}")
    assert type(caught.value) is error
    assert len(Staged.asked) == 1, "boto3 does not try again by itself"


def test_errors_of_the_function_are_told(stage):
    error = {"X-Amz-Function-Error": "Unhandled"}
    bodies = [
        {"errorType": "ValueError", "errorMessage": "odd"},
        {"errorMessage": "2020 r Task timed out after 3.00 seconds"},
        {"errorType": "Runtime.ExitError", "errorMessage": "exited"},
    ]
    Staged.answers += [(200, error, json.dumps(body).encode()) for body in bodies]
    Staged.answers.append((200, error, b"no json"))
    told = [stage.call("f", b"{}") for _ in range(4)]
    assert [each.error for each in told] == [
        "ValueError",
        "Sandbox.Timedout",
        "Runtime.ExitError",
        "Unhandled",
    ]
    assert [each.lost for each in told] == [False, True, True, False]
    assert told[0].report is None, "no log came with it"


def test_a_function_that_is_still_being_changed_is_waited_for(stage):
    def configuration(state, update):
        body = {"FunctionName": "f", "State": state, "LastUpdateStatus": update}
        return 200, {}, json.dumps(body).encode()

    def function(state, update):
        _, _, body = configuration(state, update)
        return 200, {}, json.dumps({"Configuration": json.loads(body)}).encode()

    active = ("Active", "Successful")
    Staged.answers += [
        (404, {"X-Amzn-ErrorType": "ResourceNotFoundException"}, b"{}"),
        configuration("Pending", "InProgress"),
        configuration("Pending", "InProgress"),
        function(*active),
        function(*active),
    ]
    stage.deploy("f", b"PK", "a.b")
    assert [method for method, _ in Staged.asked] == ["GET", "POST", "GET", "GET", "GET"]


def test_nobody_there_and_no_boto3(monkeypatch):
    nobody = Functions("http://127.0.0.1:9")
    with pytest.raises(Unreachable):
        nobody.call("f", b"{}")
    nobody.close()
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    with pytest.raises(MissingExtra, match=r"tradewind\[aws\]"):
        Functions("http://127.0.0.1:9").call("f", b"{}")
