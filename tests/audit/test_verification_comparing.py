"""What counts as a difference between two outcomes, and what bounds forgive."""

import pytest

from tradewind.audit.tracing.outcome import Answer, Outcome, Output
from tradewind.audit.tracing.workload import Ready, Request, Workload
from tradewind.audit.verification.comparing import Bounds, Replacement, differences, unexpected
from tradewind.errors import Misuse


def outcome(stdout=b"", exit_code=0, answers=(), outputs=(), stderr=b"", problem=""):
    return Outcome(exit_code, stdout, stderr, answers=answers, outputs=outputs, problem=problem)


def told(one, two, bounds=None, workload=None):
    return [(d.where, d.original, d.other) for d in differences(one, two, bounds, workload)]


def test_the_same_is_no_difference():
    both = outcome(b"x", answers=(Answer(200, body=b"{}"),), outputs=(Output("/o", 1, "sha256:a", b"1"),))
    assert told(both, both) == []


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        (outcome(exit_code=0), outcome(exit_code=3), [("exit code", "0", "3")]),
        (outcome(problem=""), outcome(problem="never ready"), [("end", "as it should", "never ready")]),
        (outcome(b"hello you"), outcome(b"hello me"), [("stdout, byte 6", "hello you", "hello me")]),
        (outcome(b"ab"), outcome(b"abc"), [("stdout, byte 2", "ab", "abc")]),
        (outcome(b"[1, 2]"), outcome(b"[1,2]"), []),
        (outcome(b'{"a": [1, 2.5]}'), outcome(b'{"a": [1, 2.6]}'), [("stdout.a[1]", "2.5", "2.6")]),
        (outcome(b"[1]"), outcome(b"[1, 2]"), [("stdout: length", "1", "2")]),
        (
            outcome(b'{"a": 1}'),
            outcome(b'{"b": 1}'),
            [("stdout.a", "1", "missing"), ("stdout.b", "missing", "1")],
        ),
        (outcome(b"[true]"), outcome(b"[1]"), [("stdout[0]", "true", "1")]),
        (outcome(b"[NaN]"), outcome(b"[ NaN]"), []),
        (outcome(stderr=b"1"), outcome(stderr=b"2"), []),
    ],
)
def test_outputs_differ(one, two, expected):
    assert told(one, two) == expected


def test_answers_differ():
    one = outcome(
        answers=(Answer(200, (("Content-Type", "a"), ("Date", "1")), b"[1]"), Answer(0, problem="reset"))
    )
    two = outcome(answers=(Answer(500, (("content-type", "b"), ("Date", "2")), b"[2]"), Answer(200)))
    assert told(one, two) == [
        ("request 1: status", "200", "500"),
        ("request 1: header content-type", "a", "b"),
        ("request 1: body[0]", "1", "2"),
        ("request 2", "reset", "200"),
    ]
    assert told(one, outcome())[0] == ("answers", "2", "0")


def test_files_differ():
    one = outcome(
        outputs=(Output("/a", 1, "d1", b"1"), Output("/b", 9, "d2", None), Output("/c", 1, "d", b""))
    )
    two = outcome(outputs=(Output("/a", 1, "d3", b"2"), Output("/b", 9, "d4", None)))
    assert told(one, two) == [
        ("output /a", "1", "2"),
        ("output /b", "d2", "d4"),
        ("output /c", "d", "missing"),
    ]


@pytest.mark.parametrize(
    ("bounds", "same"),
    [
        (Bounds(), False),
        (Bounds(relative=1e-3), True),
        (Bounds(relative=1e-9), False),
        (Bounds(absolute=0.01), True),
        (Bounds(ignore=(Replacement(r"\.\d+", ""),)), True),
    ],
)
def test_bounds_forgive(bounds, same):
    assert (told(outcome(b"[10.001]"), outcome(b"[10.002]"), bounds) == []) is same


def test_the_error_output_counts_if_asked():
    assert told(outcome(stderr=b"1 s"), outcome(stderr=b"2 s"), Bounds(stderr=True))
    levelled = Bounds(stderr=True, ignore=(Replacement(r"\d s", "time"),))
    assert not told(outcome(stderr=b"1 s"), outcome(stderr=b"2 s"), levelled)


def test_answers_are_held_to_what_is_expected():
    requests = (Request("/a"), Request("/b", status=404), Request("/c", json={"ok": True}))
    workload = Workload("w", ("x",), long_running=True, ready=Ready(port=80), requests=requests)
    good = (Answer(200), Answer(404), Answer(200, body=b'{"ok": true, "more": 1}'))
    bad = (Answer(500), Answer(200), Answer(200, body=b'{"ok": false}'))
    assert told(outcome(answers=good), outcome(answers=good), workload=workload) == []
    assert told(outcome(answers=bad), outcome(answers=bad), workload=workload)[:3] == [
        ("request 1 on the original: status expected", "below 500", "500"),
        ("request 2 on the original: status expected", "404", "200"),
        ("request 3 on the original: body expected", '{"ok": true}', '{"ok": false}'),
    ]


@pytest.mark.parametrize(
    ("bounds", "field"),
    [
        (Bounds(relative=-1), "relative"),
        (Bounds(absolute=float("nan")), "absolute"),
        (Bounds(ignore=(Replacement("("),)), "ignore[0].pattern"),
    ],
)
def test_bounds_that_mean_nothing_are_refused(bounds, field):
    with pytest.raises(Misuse) as caught:
        bounds.check("spec.toml")
    assert caught.value.field == field


def test_what_a_service_logs_does_not_count():
    one, two = outcome(b"port 1", stderr=b"a"), outcome(b"port 2", stderr=b"b")
    assert differences(one, two) and not differences(one, two, service=True)
    web = Workload(
        "web", ("serve",), long_running=True, ready=Ready(port=80), requests=(Request(status=200),)
    )
    answered = [outcome(log, answers=(Answer(200),)) for log in (b"port 1", b"port 2")]
    assert not told(*answered, workload=web)
    (found,) = unexpected("image", (Answer(404),), web)
    assert (found.original, found.other) == ("200", "404") and "image" in found.where
