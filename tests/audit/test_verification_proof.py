"""Proofs: what they say, that they hold, and that an altered one is noticed."""

import pytest

from tradewind.audit.tracing.outcome import Answer, Outcome, Output
from tradewind.audit.verification.comparing import Bounds, Difference
from tradewind.audit.verification.proof import (
    Check,
    Coverage,
    Proof,
    proof_bytes,
    read_proof,
    sealed,
    side,
)
from tradewind.errors import Misuse

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def check(*differences):
    told = side(
        Outcome(0, b"", b"", answers=(Answer(200),), outputs=(Output("/o", 0, EMPTY, b""),), seconds=1.23456)
    )
    return Check("w", ("run",), 0, told, told, differences)


def proof(*checks, **more):
    return Proof(
        made="2026-11-22T00:00:00Z", tradewind="1", original="a", slim="b", removed="c", policy="p",
        bounds=Bounds(), checks=checks, **more,
    )  # fmt: skip


def test_a_side_is_told_by_digests():
    told = check().slim
    assert told.stdout == EMPTY and told.answers == (f"200 {EMPTY}",) and told.outputs == {"/o": EMPTY}
    assert told.seconds == 1.235


def test_a_proof_holds_if_every_check_is_equal():
    assert proof(check()).holds
    assert not proof().holds
    assert not proof(check(), check(Difference("stdout", "1", "2"))).holds
    assert not proof(check(), beside=(check(Difference("stdout", "1", "2")),)).holds


def test_a_proof_is_read_back_and_an_altered_one_refused():
    whole = sealed(proof(check()))
    content = proof_bytes(whole)
    assert read_proof(content, "p.json") == whole
    with pytest.raises(Misuse, match="altered"):
        read_proof(content.replace(b'"slim": "b"', b'"slim": "x"'), "p.json")
    with pytest.raises(Misuse, match="format"):
        read_proof(content.replace(b"tradewind-proof-1", b"tradewind-proof-9"), "p.json")
    with pytest.raises(Misuse, match="no proof"):
        read_proof(b"{}", "p.json")


@pytest.mark.parametrize(
    ("coverage", "words"),
    [
        (Coverage(statement="Said."), "Said."),
        (
            Coverage(statement="Said.", lazy={"pip:x": ("y", "z")}),
            "Said. 2 imports inside functions of 1 package, never made, would fail.",
        ),
    ],
)
def test_the_statement_of_coverage(coverage, words):
    assert words == coverage.words


@pytest.mark.parametrize(
    "content", [b'{"made": "\xff"}', b'{"beside":' + b"[" * 100_000], ids=["bytes", "deep"]
)
def test_what_is_no_proof_is_refused(content):
    with pytest.raises(Misuse, match="no proof"):
        read_proof(content, "given")
