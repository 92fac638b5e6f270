"""Expressions of Jinja's templates, parsed loosest first, with what is known of their values.

What a template puts together from texts is `built`: used as a key it could be any name.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tradewind.data.model_files.formats.template_names import (
    BUILDS_TEXT,
    FILTERS,
    INTERNAL,
    KEEPS_NUMBER,
    METHODS,
    TAKE_ATTRIBUTE,
    TESTS,
    WORDS,
)
from tradewind.data.model_files.formats.template_text import Token, Tokens, Unreadable

_MOST = 1_000_000
_DEEPEST = 100


class Value(NamedTuple):
    """What is known of an expression without rendering it."""

    kind: str
    """`text` or `number` (constants), `built` (a text put together here), `name`, `member`, `other`."""
    text: str = ""
    """Of a constant its value; of a name or a member, what it is called."""


_OTHER = Value("other")


class Expressions(Tokens):
    """The expressions of one template: what they call and reach for is told.

    Names and calls can only be judged when all of the template is known; they are kept until then.
    """

    def __init__(self) -> None:
        self.found: list[tuple[str, str, int, str]] = []
        """Rule, words, place, name."""
        self.built: set[str] = set()
        """Names that some statement sets to a text which the template puts together."""
        self.keys: list[tuple[Value, int]] = []
        self.calls: list[tuple[str, int]] = []
        self.tokens = []
        self.place = self.depth = 0

    def tell(self, rule: str, text: str, at: int, name: str = "") -> None:
        """Keep a finding."""
        self.found.append((rule, text, at, name))

    def tuple(self, ternary: bool = True) -> Value:
        """Expressions with commas between them; the value of a single one."""
        first = self.expression(ternary)
        if self.now.kind == "sign" and self.now.value == ",":
            while self.sign(","):
                if self.now.kind == "end" or (self.now.kind == "sign" and self.now.value in (")", "=")):
                    break
                self.expression(ternary)
            return _OTHER
        return first

    def expression(self, ternary: bool = True) -> Value:
        """An expression, with `... if ... else ...` unless that belongs to a loop."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise Unreadable("expressions are nested too deeply")
        value = self.either()
        while ternary and self.word("if"):
            self.either()
            other = self.expression() if self.word("else") else _OTHER
            value = _worse(value, other)
        self.depth -= 1
        return value

    def either(self) -> Value:
        """`and`, `or`."""
        value = self.negated()
        while self.word("and", "or"):
            value = _worse(value, self.negated())
        return value

    def negated(self) -> Value:
        """`not`."""
        count = 0
        while self.word("not"):
            count += 1
        value = self.compared()
        return _OTHER if count else value

    def compared(self) -> Value:
        """Comparisons, `in` and `not in`."""
        value = self.joined()
        while True:
            if self.sign("==", "!=", "<", ">", "<=", ">=") or self.word("in"):
                self.joined()
            elif self.now.kind == "name" and self.now.value == "not" and self.ahead("in"):
                self.step()
                self.step()
                self.joined()
            else:
                return value
            value = _OTHER

    def ahead(self, word: str) -> bool:
        """Whether a word stands behind the token at hand."""
        after = self.tokens[min(self.place + 1, len(self.tokens) - 1)]
        return after.kind == "name" and after.value == word

    def joined(self) -> Value:
        """`~`, which makes one text of two values."""
        value = self.summed()
        while self.sign("~"):
            value = self.put_together(value, self.summed())
        return value

    def summed(self) -> Value:
        """`+` and `-`."""
        value = self.multiplied()
        while self.now.kind == "sign" and self.now.value in ("+", "-"):
            plus = self.step().value == "+"
            other = self.multiplied()
            texts = {"text", "built"} & {value.kind, other.kind}
            value = self.put_together(value, other) if plus and texts else _sum(value, other)
        return value

    def multiplied(self) -> Value:
        """`*`, `/`, `//` and `%`, of which two repeat or format texts."""
        value = self.signed()
        while self.now.kind == "sign" and self.now.value in ("*", "/", "//", "%"):
            sign, at = self.step().value, self.now.at
            other = self.signed()
            number = next((each for each in (value, other) if each.kind == "number"), None)
            if sign == "*" and number is not None and _number(number) > _MOST:
                self.tell("template-bomb", f"something is repeated {number.text} times", at)
            if {"text", "built"} & {value.kind, other.kind} and sign in "*%":
                if sign == "%" and value.kind == "text" and "%(" in value.text:
                    self.tell("template-attribute", "a text is formatted by names", at)
                value = Value("built")
            else:
                value = _sum(value, other)
        return value

    def signed(self) -> Value:
        """A sign before a value, and powers."""
        if self.sign("-", "+"):
            inner = self.signed()
            return inner if inner.kind == "number" else _OTHER
        value = self.postfix(self.primary())
        if self.sign("**"):
            at = self.now.at
            power = self.signed()
            if power.kind != "number" or _number(power) > 64:
                self.tell("template-bomb", "a number is raised to a great power", at)
            return _OTHER
        return value

    def primary(self) -> Value:
        """A constant, a name, or what stands in brackets."""
        token = self.step()
        if token.kind == "text":
            text = token.value
            while self.now.kind == "text":  # texts side by side are one, as in Python
                text += self.step().value
            if re.search(r"__\w+__", text) and INTERNAL.match(text.strip()):
                self.tell("template-attribute", f"it holds the name {text.strip()!r}", token.at, text)
            return Value("text", text)
        if token.kind == "number":
            return Value("number", token.value)
        if token.kind == "name":
            if token.value in ("true", "false", "none", "True", "False", "None"):
                return _OTHER
            return Value("name", self.checked(token))
        if token.value == "(":
            if self.sign(")"):
                return _OTHER
            value = self.tuple()
            self.expect(")")
            return value
        if token.value == "[":
            return self.items("]")
        if token.value == "{":
            while not self.sign("}"):
                self.expression()
                self.expect(":")
                self.expression()
                if not self.sign(","):
                    self.expect("}")
                    break
            return _OTHER
        raise Unreadable(f"{token.value or 'the end'!r} at {token.at} is not expected")

    def items(self, closing: str) -> Value:
        """A list; one with texts that were put together may be looped over."""
        value = _OTHER
        while not self.sign(closing):
            each = self.expression()
            if each.kind == "built":
                value = each
            if each.kind == "text":
                self.attribute(each.text, self.now.at)
            if not self.sign(","):
                self.expect(closing)
                break
        return value

    def postfix(self, value: Value) -> Value:
        """Members, keys, calls, filters and tests behind a value."""
        while True:
            at = self.now.at
            if self.sign("."):
                token = self.step()
                if token.kind == "number":
                    value = _OTHER
                    continue
                if token.kind != "name":
                    raise Unreadable(f"a name is missing at {token.at}")
                value = self.member(value, token)
            elif self.sign("["):
                value = self.subscript(value)
            elif self.sign("("):
                self.arguments(value, at)
                value = self.called(value, at)
            elif self.sign("|"):
                value = self.filter_of(value)
            elif self.now.kind == "name" and self.now.value == "is":
                self.step()
                self.test()
                value = _OTHER
            else:
                return value

    def member(self, value: Value, token: Token) -> Value:
        """A member by its name; a call of it is judged by that name."""
        if self.now.kind == "sign" and self.now.value == "(":
            if token.value not in METHODS:
                self.tell("template-call", f".{token.value}(...) is called", token.at, token.value)
            return (
                Value("method", token.value) if value.kind != "text" else Value("built-method", token.value)
            )
        self.attribute(token.value, token.at)
        return Value("member", f"{value.text}.{token.value}" if value.kind in ("name", "member") else "")

    def subscript(self, value: Value) -> Value:
        """A key or a slice."""
        parts = 0
        while not self.sign("]"):
            if self.sign(":"):
                parts += 1
                continue
            key = self.expression()
            if key.kind == "text":
                self.attribute(key.text, self.now.at)
            elif key.kind in ("built", "name", "member"):
                self.keys.append((key, self.now.at))
            if self.sign(","):
                continue
        # A part of a text that was put together is one too; a part of a constant may be any name.
        return Value("built") if value.kind in ("text", "built") else _OTHER

    def arguments(self, callee: Value, at: int) -> None:
        """The arguments of a call or a test, to the closing bracket."""
        while not self.sign(")"):
            if self.sign("*", "**"):
                self.tell("template-call", "arguments are unpacked into a call", at)
            if self.now.kind == "name" and self.tokens[self.place + 1].value == "=":
                key = self.step().value
                self.step()
                value = self.expression()
                if callee == Value("name", "namespace") and value.kind == "built":
                    self.built.add(f".{key}")
            else:
                value = self.expression()
            if callee.kind == "name" and callee.text == "range" and _number(value) > _MOST:
                self.tell("template-bomb", f"a loop of {value.text} steps", at)
            if not self.sign(","):
                self.expect(")")
                return

    def called(self, callee: Value, at: int) -> Value:
        """What a call gives; the callee is judged."""
        if callee.kind == "name":
            self.calls.append((callee.text, at))
            return Value("built") if callee.text in ("joiner", "cycler", "str", "caller") else _OTHER
        if callee.kind == "built-method":
            return Value("built") if callee.text not in ("count", "find", "index") else _OTHER
        if callee.kind == "method":
            return Value("built") if callee.text in ("join", "replace", "lower", "upper", "title") else _OTHER
        self.tell("template-call", "what an expression gives is called", at)
        return _OTHER

    def filters(self, value: Value, first: bool = False) -> Value:
        """The filters behind a value, or behind the word `filter`."""
        if first:
            value = self.filter_of(value)
        while self.sign("|"):
            value = self.filter_of(value)
        return value

    def filter_of(self, value: Value) -> Value:
        """One filter, judged by its name."""
        token = self.name()
        name = token.value
        while self.sign("."):
            name += f".{self.name().value}"
        if name not in FILTERS:
            self.tell("template-call", f"the filter {name} is used", token.at, name)
        if self.sign("("):
            self.filter_arguments(name, token.at)
        if name in KEEPS_NUMBER:
            return _OTHER
        if value.kind in ("text", "built") or name in ("join", "format", "replace", "tojson", "map"):
            return Value("built") if name in BUILDS_TEXT or value.kind == "built" else _OTHER
        return value if name in ("default", "d", "first", "last") else _OTHER

    def filter_arguments(self, name: str, at: int) -> None:
        """The arguments of a filter; some name attributes, filters or tests."""
        place = 0
        while not self.sign(")"):
            key = ""
            if self.sign("*", "**"):
                self.tell("template-call", "arguments are unpacked into a filter", at)
            if self.now.kind == "name" and self.tokens[self.place + 1].value == "=":
                key = self.step().value
                self.step()
            value = self.expression()
            names_attribute = key == "attribute" or (
                not key and place == 0 and name in ("selectattr", "rejectattr", "groupby")
            )
            names_filter = not key and place == 0 and name == "map"
            names_test = not key and place == (1 if name.endswith("attr") else 0) and name in (
                "select", "reject", "selectattr", "rejectattr",
            )  # fmt: skip
            if name in TAKE_ATTRIBUTE and names_attribute:
                if value.kind == "text":
                    for part in value.text.split("."):
                        self.attribute(part, at)
                elif value.kind != "number":
                    self.tell("template-attribute", f"{name} takes an attribute that is not constant", at)
            if names_filter and (value.kind != "text" or value.text not in FILTERS):
                self.tell("template-call", f"map uses the filter {value.text!r}", at, value.text)
            if names_test and (value.kind != "text" or value.text not in TESTS):
                self.tell("template-call", f"{name} uses the test {value.text!r}", at, value.text)
            place += not key
            if not self.sign(","):
                self.expect(")")
                return

    def test(self) -> None:
        """The test behind `is`, judged by its name."""
        self.word("not")
        token = self.name()
        if token.value not in TESTS:
            self.tell("template-call", f"the test {token.value} is used", token.at, token.value)
        if self.sign("("):
            self.arguments(_OTHER, token.at)
        elif self.now.kind in ("text", "number") or (
            self.now.kind == "name" and self.now.value not in WORDS
        ) or (self.now.kind == "sign" and self.now.value in ("[", "{")):  # fmt: skip
            self.postfix(self.primary())

    def put_together(self, one: Value, other: Value) -> Value:
        """A text made of two values; of two constants it is known."""
        if one.kind == other.kind == "text":
            self.attribute(one.text + other.text, self.now.at)
        return Value("built")

    def checked(self, token: Token) -> str:
        """The name of a token, told if it is one of Python's internals."""
        if INTERNAL.match(token.value) and token.value != "_":
            self.attribute(token.value, token.at)
        return token.value

    def attribute(self, name: str, at: int) -> None:
        """Tell if a name is one of Python's internals; `_` alone and texts with spaces are none."""
        if re.fullmatch(r"\w+", name) and name.strip("_") and INTERNAL.match(name):
            self.tell("template-attribute", f"it reaches for {name}", at, name)


def _worse(one: Value, other: Value) -> Value:
    for each in (one, other):
        if each.kind == "built":
            return each
    return one if one.kind in ("name", "member") else other if other.kind in ("name", "member") else _OTHER


def _sum(one: Value, other: Value) -> Value:
    """Of values that may be texts by chance: what the template knows to be put together stays so."""
    return Value("built") if "built" in (one.kind, other.kind) else _OTHER


def _number(value: Value) -> float:
    if value.kind != "number":
        return 0
    text = value.text.replace("_", "")
    try:
        return float(text) if len(text) < 40 and text[:2].lower() not in ("0x", "0o", "0b") else float("inf")
    except (ValueError, OverflowError):
        return float("inf")
