"""The console's server over real sockets: what it shows, what it refuses, and how it says so."""

from __future__ import annotations

import http.client
import json
import socket
import threading

import pytest

from tradewind.console.server import Console, watch
from tradewind.data.trial_store import TrialStore
from tradewind.errors import Misuse
from tradewind.tuning.study import Study


@pytest.fixture
def study(tmp_path) -> Study:
    """Three trials: one over, one that runs, one that waits."""
    found = Study({"x": {"low": 0.0, "high": 1.0}}, name="s", trials=3, store=tmp_path / "s.sqlite")
    one, _ = found.ask(), found.ask()
    found.report(one, 1, 0.5, dollars=0.25, seconds=10.0)
    found.tell(one, 0.5)
    found.store.add("s", {"x": 0.75})
    return found


@pytest.fixture
def console(study, tmp_path):
    with Console(tmp_path / "s.sqlite") as found:
        yield found


def ask(console: Console, method: str, path: str, order=None, **headers: str):
    """The status, the headers and the body of an answer; an order is sent as JSON."""
    port = int(console.url.rstrip("/").rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    body = order if order is None or isinstance(order, bytes) else json.dumps(order).encode()
    given = {"Content-Type": "application/json"} if body is not None else {}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, given)
    answer = connection.getresponse()
    found = answer.read()
    connection.close()
    kind = answer.headers.get_content_type()
    return answer.status, answer.headers, json.loads(found) if kind == "application/json" and found else found


def test_the_page_stands_alone(console):
    status, headers, page = ask(console, "GET", "/")
    assert status == 200 and headers.get_content_type() == "text/html"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
    assert b'lang="en"' in page and b"http://" not in page and b"https://" not in page
    for path, kind in (("/console.js", "text/javascript"), ("/console.css", "text/css")):
        assert path.encode() in page
        status, headers, text = ask(console, "GET", path)
        assert status == 200 and headers.get_content_type() == kind and len(text) > 1000
        assert b"https://" not in text
    status, headers, empty = ask(console, "HEAD", "/")
    assert status == 200 and int(headers["Content-Length"]) == len(page) and empty == b""


def test_a_study_is_shown_as_it_stands_and_then_what_is_new(console, study):
    status, _, told = ask(console, "GET", "/api/studies")
    assert status == 200 and told["studies"] == [{"name": "s", "trials": 3}] and told["first"] == "s"
    _, _, whole = ask(console, "GET", "/api/study?study=s")
    assert whole["states"] == {"completed": 1, "running": 1, "waiting": 1} and whole["dollars"] == 0.25
    assert [each["points"] for each in whole["trials"]] == [[[1, 10.0, 0.25, 0.5, 6]], [], []]
    _, _, later = ask(console, "GET", f"/api/study?study=s&after={whole['sequence']}")
    assert later["trials"] == [] and not later["fresh"]
    study.kill(1)
    _, _, later = ask(console, "GET", f"/api/study?study=s&after={whole['sequence']}")
    assert [(each["number"], each["stop_wanted"]) for each in later["trials"]] == [(1, "it was asked for")]


def test_a_study_that_begins_anew_is_shown_anew(console, study):
    ask(console, "GET", "/api/study?study=s")
    study.store.delete("s")
    assert ask(console, "GET", "/api/study?study=s&after=3")[0] == 404
    study.store.create("s", {"direction": "maximize"})
    status, _, told = ask(console, "GET", "/api/study?study=s&after=6")
    assert status == 200 and told["fresh"] and told["direction"] == "maximize" and told["trials"] == []


def test_a_trial_is_killed_and_whoever_runs_it_hears(console, study):
    order = {"study": "s", "number": 1}
    assert ask(console, "POST", "/api/kill", order)[::2] == (200, {"killed": [1]})
    assert study.heartbeat() == {1: "it was killed in the console"}
    status, _, told = ask(console, "POST", "/api/kill", order)
    assert status == 409 and "wanted already" in told["error"]["message"]
    status, _, told = ask(console, "POST", "/api/kill", {"study": "s", "number": 0})
    assert status == 409 and told["error"]["message"] == "trial 0: completed"
    assert ask(console, "POST", "/api/kill", {"study": "s"})[::2] == (200, {"killed": [2]})
    assert study.trials[2].state == "stopped", "what nobody runs is stopped at once"


def test_a_page_from_elsewhere_kills_nothing(console, study):
    order, port = {"study": "s", "number": 1}, console.url.rstrip("/").rpartition(":")[2]
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Host": f"evil.example:{port}"},
        {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"},
    ):
        status, _, told = ask(console, "POST", "/api/kill", order, **headers)
        assert status == 403 and told["error"]["kind"] == "Forbidden", headers
    assert ask(console, "GET", "/api/study?study=s", Host="evil.example")[0] == 403, (
        "by a name that leads here"
    )
    # without a question beforehand, a page from elsewhere can send these kinds only
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert ask(console, "POST", "/api/kill", order, Content_Type=kind)[0] == 415
    assert study.heartbeat() == {1: ""}, "nothing was asked of it"
    mine = {"Origin": f"http://127.0.0.1:{port}", "Sec_Fetch_Site": "same-origin"}
    assert ask(console, "POST", "/api/kill", order, **mine)[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "order", "status", "words"),
    [
        ("GET", "/nothing", None, 404, "nothing at /nothing"),
        ("GET", "/../page.html", None, 404, "nothing"),
        ("GET", "/api/study", None, 404, "there is no study ''"),
        ("GET", "/api/study?study=t", None, 404, "Known: s"),
        ("GET", "/api/study?study=s&after=x", None, 400, "no number"),
        ("GET", "/api/study?study=s&after=-1", None, 400, "no number"),
        ("GET", "/api/kill", None, 405, "/api/kill takes POST"),
        ("POST", "/", {}, 405, "/ takes GET, HEAD"),
        ("PUT", "/api/kill", {}, 405, "takes POST"),
        ("DELETE", "/api/study?study=s", None, 405, "takes GET"),
        ("OPTIONS", "/api/kill", None, 405, "takes POST"),
        ("BREW", "/", None, 501, "BREW"),
        ("POST", "/api/kill", b"{", 400, "no order to kill"),
        ("POST", "/api/kill", {"number": 1}, 400, "study"),
        ("POST", "/api/kill", {"study": "s", "numbr": 1}, 400, "numbr"),
        ("POST", "/api/kill", {"study": "s", "number": "1"}, 400, "number"),
        ("POST", "/api/kill", {"study": "s", "number": 9}, 404, "no trial 9"),
        ("POST", "/api/kill", {"study": "s", "number": -1}, 404, "no trial -1"),
        ("POST", "/api/kill", {"study": "t", "number": 0}, 404, "no study 't'"),
        ("POST", "/api/kill", b"x" * 70_000, 413, "more than 65536 bytes"),
    ],
)
def test_what_cannot_be_done_is_said_in_json(console, study, method, path, order, status, words):
    found, headers, told = ask(console, method, path, order)
    assert (found, told["error"]["status"]) == (status, status) and words in told["error"]["message"]
    assert (headers["Allow"] is not None) == (status == 405)
    assert study.heartbeat() == {1: ""}


def test_what_is_no_request_is_refused_and_nobody_waits_for_it(console):
    port = int(console.url.rstrip("/").rpartition(":")[2])
    for sent, status in (
        (b"rubbish\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"POST /api/kill HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\r\n", b"411"),
    ):
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(sent)
            assert status in connection.makefile("rb").readline() or status in connection.recv(1)
    with socket.create_connection(("127.0.0.1", port), 10):  # one that says nothing
        assert ask(console, "GET", "/api/studies")[0] == 200


def test_many_may_look_at_once(console):
    found: list[int] = []

    def look() -> None:
        for _ in range(5):
            found.append(ask(console, "GET", "/api/study?study=s")[0])

    threads = [threading.Thread(target=look) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == [200] * 40


def test_beyond_loopback_it_takes_a_token(study, tmp_path):
    with Console(tmp_path / "s.sqlite", host="0.0.0.0") as console:
        assert console.link.partition("#")[2], "which the link has"
        token = console.link.partition("#")[2]
        assert ask(console, "GET", "/")[0] == 200, "the page alone says nothing"
        order = {"study": "s", "number": 1}
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "}):
            status, answered, told = ask(console, "GET", "/api/study?study=s", **headers)
            assert status == 401 and answered["WWW-Authenticate"] == "Bearer" and "token" in str(told)
            assert ask(console, "POST", "/api/kill", order, **headers)[0] == 401
        mine = {"Authorization": f"Bearer {token}"}
        assert ask(console, "GET", "/api/study?study=s", Host="some.name:80", **mine)[0] == 200
        assert ask(console, "POST", "/api/kill", order, Origin="http://evil.example", **mine)[0] == 403
        assert ask(console, "POST", "/api/kill", order, **mine)[0] == 200


def test_wrong_places_are_refused(study, tmp_path):
    with pytest.raises(Misuse, match="there is no such store"):
        Console(tmp_path / "t.sqlite")
    assert not (tmp_path / "t.sqlite").exists(), "looking makes nothing"
    with pytest.raises(Misuse, match="no study 't'"):
        Console(study.store, "t")
    taken = socket.create_server(("127.0.0.1", 0))
    with taken, pytest.raises(Misuse, match="nobody can listen at"):
        Console(study.store, port=taken.getsockname()[1])


def test_watching_is_one_call(study):
    console = watch(study.store, "s")
    try:
        assert console.link == console.url and ask(console, "GET", "/api/studies")[2]["first"] == "s"
    finally:
        console.close()
    with pytest.raises(ConnectionRefusedError):
        ask(console, "GET", "/")
    assert study.trials, "the store is its owner's to close"


def test_a_store_without_a_study_is_waited_for(tmp_path):
    with TrialStore(tmp_path / "s.sqlite") as store, Console(store) as console:
        assert ask(console, "GET", "/api/studies")[2]["first"] == ""
        assert ask(console, "GET", "/api/study?study=s")[0] == 404
        store.create("s", {})
        assert ask(console, "GET", "/api/study?study=s")[0] == 200
