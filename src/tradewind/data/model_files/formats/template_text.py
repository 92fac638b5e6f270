"""Jinja's template syntax as tokens, by our own lexer: jinja2 is not needed to judge a template.

Only what chat templates use is known: text, `{{ ... }}`, `{% ... %}`, `{# ... #}`, `raw`. A text that this
lexer cannot cut up is not judged to be harmless; it is said that it cannot.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

_OPEN = re.compile(r"\{\{|\{%|\{#")
_RAW = re.compile(r"\{%[-+]?\s*raw\s*[-+]?%\}(.*?)\{%[-+]?\s*endraw\s*[-+]?%\}", re.S)
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>\d[\d_]*\.\d[\d_]*(?:[eE][+-]?\d+)?|0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+
        |\d[\d_]*(?:[eE][+-]?\d+)?)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<name>[^\W\d]\w*)
    |(?P<sign>==|!=|<=|>=|//|\*\*|[-+*/%~<>=().,\[\]{}:|;])""",
    re.S | re.X,
)
_CLOSING = re.compile(r"[-+]?(\}\}|%\})")


class Unreadable(ValueError):
    """A template that this lexer or parser does not understand."""


class Token(NamedTuple):
    """One token of an expression or a statement."""

    kind: str
    """`number`, `text`, `name`, `sign`, or `end`."""
    value: str
    """Of a text what it means, with its escapes resolved."""
    at: int
    """Characters from the start of the template."""


class Piece(NamedTuple):
    """One `{{ ... }}` (an `expression`) or `{% ... %}` (a `statement`)."""

    kind: str
    tokens: list[Token]


def pieces(template: str) -> Iterator[Piece]:
    """The expressions and statements of a template, in their order; Unreadable where it cannot be cut up."""
    at = 0
    while found := _OPEN.search(template, at):
        start = found.start()
        if found[0] == "{#":
            end = template.find("#}", start + 2)
            if end < 0:
                raise Unreadable(f"a comment at {start} has no end")
            at = end + 2
            continue
        raw = _RAW.match(template, start)
        if raw:
            at = raw.end()
            continue
        closing = "}}" if found[0] == "{{" else "%}"
        tokens, at = _tokens(template, start + 2, closing)
        yield Piece("expression" if closing == "}}" else "statement", tokens)


def _tokens(template: str, at: int, closing: str) -> tuple[list[Token], int]:
    found: list[Token] = []
    opened: list[str] = []
    if template[at : at + 1] in ("-", "+"):
        at += 1
    while True:
        end = _CLOSING.match(template, at)
        if end and not opened and end[1] == closing:
            found.append(Token("end", "", at))
            return found, end.end()
        token = _TOKEN.match(template, at)
        if token is None or token.lastgroup is None:
            raise Unreadable(f"no token of a template at {at}: {template[at : at + 20]!r}")
        kind, value = token.lastgroup, token[0]
        if kind == "text":
            value = _meaning(value, at)
        elif kind == "sign" and value in "([{":
            opened.append(value)
        elif kind == "sign" and value in ")]}" and (not opened or opened.pop() != "([{"[")]}".index(value)]):
            raise Unreadable(f"a bracket at {at} closes none")
        if kind != "space":
            found.append(Token(kind, value, at))
        at = token.end()


def _meaning(literal: str, at: int) -> str:
    # As Jinja does: line ends as they are, escapes as in Python.
    try:
        found = ast.literal_eval(literal.replace("\n", "\\n").replace("\r", "\\r"))
    except (ValueError, SyntaxError):
        raise Unreadable(f"a text at {at} has escapes that mean nothing") from None
    return str(found)


class Tokens:
    """The tokens of one piece, read forward."""

    tokens: list[Token]
    place: int

    @property
    def now(self) -> Token:
        """The token at hand."""
        return self.tokens[self.place]

    def step(self) -> Token:
        """The token at hand, and go past it; the end stays."""
        token = self.tokens[self.place]
        if token.kind != "end":
            self.place += 1
        return token

    def sign(self, *signs: str) -> bool:
        """Whether one of these signs is at hand; it is gone past."""
        if self.now.kind == "sign" and self.now.value in signs:
            self.step()
            return True
        return False

    def word(self, *words: str) -> bool:
        """Whether one of these words is at hand; it is gone past."""
        if self.now.kind == "name" and self.now.value in words:
            self.step()
            return True
        return False

    def expect(self, sign: str) -> None:
        """Go past a sign; Unreadable if another token is at hand."""
        if not self.sign(sign):
            raise Unreadable(f"{sign!r} is missing at {self.now.at}")

    def name(self) -> Token:
        """Go past a name and give it; Unreadable if another token is at hand."""
        token = self.step()
        if token.kind != "name":
            raise Unreadable(f"a name is missing at {token.at}")
        return token

    def done(self) -> None:
        """Unreadable if the end is not at hand."""
        if self.now.kind != "end":
            raise Unreadable(f"{self.now.value!r} at {self.now.at} is not expected")
