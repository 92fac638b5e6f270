"""The one tree of errors: its type says whether to retry, give up, or mend the input.

    TradewindError
    ├── Temporary            try again after `delay` seconds
    │   └── Unreachable      an address did not answer within its stated time
    ├── Permanent            trying again gives the same answer
    │   ├── Unaffordable     no way to do it within the deadline and budget; says what would do
    │   ├── NoCapacity       no offer anywhere fits the demand
    │   ├── Corrupt          a file that we wrote ourselves does not read back
    │   └── Diverged         a replayed decision differs from the recorded one
    └── Misuse               the caller's input is wrong; says which file, which field, and the fix
        └── MissingExtra     an optional dependency is not installed; names the extra

A revocation is news, not an error, and has no class here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TradewindError(Exception):
    """Whatever Tradewind raises on purpose."""


class Temporary(TradewindError):
    """May succeed when tried again after `delay` seconds."""

    def __init__(self, message: str, delay: float = 1.0) -> None:
        super().__init__(message)
        self.delay = delay


class Unreachable(Temporary):
    """An address did not answer within its stated time."""


class Permanent(TradewindError):
    """Trying again gives the same answer."""


class Unaffordable(Permanent):
    """Nothing on offer does the work within the deadline and the budget."""


class NoCapacity(Permanent):
    """No offer anywhere fits the demand."""


class Corrupt(Permanent):
    """A file that Tradewind wrote does not read back."""


class Diverged(Permanent):
    """A replayed decision differs from the recorded one."""


class Misuse(TradewindError):
    """The caller's input is wrong.

    The message names the `source` (a file, an argument), the `field` in it, what is wrong, and the fix.
    """

    def __init__(self, problem: str, *, source: str = "", field: str = "", fix: str = "") -> None:
        self.source, self.field, self.fix = source, field, fix
        where = ": ".join(part for part in (source, field) if part)
        message = f"{where}: {problem}" if where else problem
        super().__init__(f"{message}. {fix}" if fix else message)


class MissingExtra(Misuse):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package}", fix=f"Install it with: pip install 'tradewind[{extra}]'"
        )


def suggestion(word: str, known: Iterable[str]) -> str:
    """The sentence that names what `word` was probably meant to be among `known`; it never is empty."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."
