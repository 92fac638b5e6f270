"""Statements of Jinja's templates, and the judgement of a whole template."""

from __future__ import annotations

from tradewind.data.model_files.formats.template_expressions import Expressions, Value
from tradewind.data.model_files.formats.template_names import FUNCTIONS, OTHER_FILES, STATEMENTS
from tradewind.data.model_files.formats.template_text import Piece, Unreadable, pieces

_OTHER = Value("other")


class Template(Expressions):
    """One template; `judged` gives what is found."""

    def __init__(self) -> None:
        super().__init__()
        self.macros: set[str] = set()
        self.bound: set[str] = set()
        """Names that a statement gives a value to; calling one is calling whatever that is."""

    def judged(self, template: str) -> list[tuple[str, str, int, str]]:
        """Rule, words, place and name of all that is found; what cannot be read is found too."""
        try:
            for piece in pieces(template):
                self.piece(piece)
        except (Unreadable, RecursionError) as problem:
            self.tell("template-unreadable", str(problem), 0)
        for key, at in self.keys:
            if key.kind == "built" or key.text in self.built:
                self.tell("template-attribute", "a key is put together from texts", at, key.text)
        for name, at in self.calls:
            if name in self.bound or (name not in FUNCTIONS and name not in self.macros):
                self.tell("template-call", f"{name}(...) is called", at, name)
        return self.found

    def piece(self, piece: Piece) -> None:
        """Read one expression or statement."""
        self.tokens, self.place = piece.tokens, 0
        if piece.kind == "expression":
            self.tuple()
            self.done()
            return
        token = self.name()
        word = token.value
        if word in OTHER_FILES:
            self.tell("template-file", f"it has {word}", token.at, word)
            return
        if word not in STATEMENTS:
            raise Unreadable(f"the statement {word!r} is not known")
        getattr(self, f"_{word}", self._plain)()
        self.done()

    def _plain(self) -> None:
        if self.now.kind != "end":
            if self.now.kind == "name" and self.tokens[0].value.startswith(("end", "block")):
                self.step()
                self.word("scoped")
                self.word("required")
            else:
                self.tuple()

    def _else(self) -> None:
        return

    _generation = _break = _continue = _else

    def _for(self) -> None:
        names = self.targets()
        if not self.word("in"):
            raise Unreadable(f"'in' is missing at {self.now.at}")
        value = self.tuple(ternary=False)
        if value.kind == "built":
            self.built.update(names)
        if self.word("if"):
            self.expression()
        self.word("recursive")

    def _set(self) -> None:
        names = self.targets(members=True)
        if self.sign("="):
            value = self.tuple()
            if value.kind == "built" or (value.kind in ("name", "member") and value.text in self.built):
                self.built.update(names)
        else:
            # What stands between set and endset is a text that the template makes.
            self.built.update(names)
            self.filters(_OTHER)

    def _with(self) -> None:
        while self.now.kind != "end":
            names = self.targets()
            self.expect("=")
            if self.expression().kind == "built":
                self.built.update(names)
            if not self.sign(","):
                break

    def _macro(self) -> None:
        self.macros.add(self.checked(self.name()))
        self.expect("(")
        self.parameters()

    def parameters(self) -> None:
        """The parameters of a macro or a call block, to the closing bracket."""
        while not self.sign(")"):
            # Whoever calls it may give a text that was put together.
            self.built.add(self.checked(self.name()))
            if self.sign("="):
                self.expression()
            if not self.sign(","):
                self.expect(")")
                return

    def _call(self) -> None:
        if self.sign("("):
            self.parameters()
        self.expression()

    def _filter(self) -> None:
        self.filters(_OTHER, first=True)

    def _autoescape(self) -> None:
        self.expression()

    _do = _if = _elif = lambda self: self.tuple() and None

    def targets(self, members: bool = False) -> list[str]:
        """The names that a statement gives values to; with `members` also `name.member`."""
        found = []
        while True:
            if self.sign("("):
                found += self.targets(members)
                self.expect(")")
            else:
                name = self.checked(self.name())
                while members and self.sign("."):
                    name += f".{self.checked(self.name())}"
                found.append(name)
                self.bound.add(name)
            if not self.sign(","):
                return found
