"""Write docs/glossary.md from the docstrings of `market`: `make glossary`, or `python docs/glossary.py`.

Nothing is imported; the sources are parsed, so the page needs no installed package.
"""

from __future__ import annotations

import ast
from pathlib import Path

HERE = Path(__file__).parent
MARKET = HERE.parent / "src" / "tradewind" / "market"
WORDS = (
    "Resources", "InstanceType", "Instance", "Pool", "Offer", "Terms", "Price", "Bid", "Lease", "Ending",
    "Revocation", "Charge", "Invoice", "Demand", "View", "Decision",
)  # fmt: skip
"""The vocabulary, in the order in which one needs it."""
NOT = {
    "Resources": "capacity, spec",
    "InstanceType": "flavour, SKU",
    "Instance": "node, VM, host",
    "Offer": "option",
    "Charge": "cost (the total)",
    "Bid": "request",
    "Lease": "allocation, reservation",
    "Revocation": "preemption, eviction",
    "Decision": "state, context",
}


def classes() -> dict[str, tuple[str, ast.ClassDef]]:
    """Every public class of `market`, with the module that defines it."""
    found = {}
    for path in sorted(MARKET.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name] = (f"market/{path.name}", node)
    return found


def fields(node: ast.ClassDef) -> list[tuple[str, str]]:
    """The fields of a class and what is written under each."""
    told = []
    for statement, below in zip(node.body, [*node.body[1:], None], strict=True):
        target = None
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            target = statement.target.id
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            target = statement.targets[0].id
        if target is None or target.startswith("_"):
            continue
        value = below.value if isinstance(below, ast.Expr) else None
        text = value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""
        told.append((target, " ".join(text.split())))
    return told


def glossary() -> str:
    """The whole page."""
    known = classes()
    lines = [
        "# Glossary",
        "",
        "The words of Tradewind, in code, documents and on the command line. Made from the docstrings of",
        "`src/tradewind/market` by `make glossary`; do not edit.",
    ]
    for word in WORDS:
        home, node = known[word]
        told = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
        lines += ["", f"## {word}", "", told]
        if word in NOT:
            lines += ["", f"Not called: {NOT[word]}."]
        listed = [(name, text) for name, text in fields(node) if text]
        if listed:
            lines += ["", *(f"- `{name}`: {text}" for name, text in listed)]
        lines += ["", f"Defined in `{home}`."]
    others = sorted(set(known) - set(WORDS))
    lines += ["", "## Further words", "", "| word | meaning | home |", "|---|---|---|"]
    for word in others:
        home, node = known[word]
        first = (ast.get_docstring(node) or "").split("\n\n")[0].replace("|", "\\|")
        lines.append(f"| `{word}` | {' '.join(first.split())} | `{home}` |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (HERE / "glossary.md").write_text(glossary(), encoding="utf-8")
