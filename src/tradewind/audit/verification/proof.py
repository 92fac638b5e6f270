"""The record of a verification: what was run on which trees, what came out, and what was not covered."""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Struct

from tradewind.audit.tracing.joining import Added
from tradewind.audit.tracing.outcome import Outcome
from tradewind.audit.verification.comparing import Bounds, Difference
from tradewind.errors import Misuse

FORMAT = "tradewind-proof-1"


class Side(Struct, frozen=True):
    """What one invocation came to, by digests."""

    exit_code: int
    stdout: str
    """`sha256:` and the digest of the bytes, as of the others."""
    answers: tuple[str, ...]
    """The status and the digest of each body."""
    outputs: dict[str, str]
    seconds: float


def side(outcome: Outcome) -> Side:
    """The digests of an outcome."""
    return Side(
        exit_code=outcome.exit_code,
        stdout=_digest(outcome.stdout),
        answers=tuple(f"{each.status} {_digest(each.body)}" for each in outcome.answers),
        outputs={each.path: each.digest for each in outcome.outputs},
        seconds=round(outcome.seconds, 3),
    )


class Check(Struct, frozen=True):
    """One workload on both sides, once."""

    workload: str
    command: tuple[str, ...]
    repetition: int
    original: Side
    slim: Side
    differences: tuple[Difference, ...]

    @property
    def equal(self) -> bool:
        """Whether both did the same within the bounds."""
        return not self.differences


class Missed(Struct, frozen=True):
    """What came of leaving out one kept file: the negative test."""

    path: str
    noticed: bool
    """Whether a check failed without it."""
    explained: str = ""
    """Why it is kept though nothing failed: the rule that keeps it."""


class Coverage(Struct, frozen=True):
    """What the runs behind the slim image saw, and what they cannot have seen."""

    runs: tuple[Added, ...] = ()
    """How much each recorded run opened that none before it had, in the order of the runs."""
    statement: str = ""
    """In words, whether more runs can be expected to open more; see `tracing.joining`."""
    lazy: dict[str, tuple[str, ...]] = {}
    """Imports within functions of kept modules that no run made and whose module is removed, by package."""

    @property
    def words(self) -> str:
        """The statement, with what would fail."""
        lazy = sum(map(len, self.lazy.values()))
        if not lazy:
            return self.statement
        packages = f"{len(self.lazy)} package{'s' if len(self.lazy) > 1 else ''}"
        return f"{self.statement} {lazy} imports inside functions of {packages}, never made, would fail."


class Proof(Struct, frozen=True, kw_only=True):
    """A verification, to be kept beside the slim image."""

    format: str = FORMAT
    made: str
    """When, as ISO 8601 in UTC."""
    tradewind: str
    original: str
    """The digest of the tree, as of the others."""
    slim: str
    removed: str
    """The digest of the side-car; empty if there is none."""
    policy: str
    """The digest of the policy, written as JSON."""
    bounds: Bounds
    checks: tuple[Check, ...]
    beside: tuple[Check, ...] = ()
    """Commands that no run recorded, on the original and on the slim image with its side-car."""
    negative: tuple[Missed, ...] = ()
    coverage: Coverage = Coverage()
    seal: str = ""
    """SHA-256 over all the rest as canonical JSON: it tells accidents, not forgers."""

    @property
    def holds(self) -> bool:
        """Whether every check was equal, and there was one."""
        return bool(self.checks) and all(each.equal for each in (*self.checks, *self.beside))


def sealed(proof: Proof) -> Proof:
    """The proof with its seal."""
    return msgspec.structs.replace(proof, seal=_seal(proof))


def proof_bytes(proof: Proof) -> bytes:
    """The proof as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(proof, order="sorted"), indent=2) + b"\n"


def read_proof(content: bytes, source: str) -> Proof:
    """A proof from its JSON; Misuse if it is none or its seal is broken."""
    try:
        proof = msgspec.json.decode(content, type=Proof)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Misuse(f"this is no proof ({error})", source=source, fix="Verify again.") from None
    if proof.format != FORMAT:
        raise Misuse(
            f"the format is {proof.format!r}", source=source, field="format", fix=f"Expected {FORMAT}."
        )
    if proof.seal != _seal(proof):
        raise Misuse("the proof was altered", source=source, field="seal", fix="Verify again.")
    return proof


def _seal(proof: Proof) -> str:
    bare = msgspec.structs.replace(proof, seal="")
    return _digest(msgspec.json.encode(bare, order="sorted"))


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
