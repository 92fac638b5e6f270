"""Chat templates: Jinja in GGUF files, tokenizers' and processors' configurations, judged by an allow-list.

A template that a server renders outside of a sandbox can run anything (CVE-2024-34359, CVE-2026-5760), by
climbing from any value to Python's internals. Rendering can only do harm by a call, so what may be called is
listed by name: functions, filters, tests, methods of texts, lists and mappings, and the template's own
macros.
Attributes and constant keys may have any name that is not one of Python's internals; a key that the template
itself puts together from texts could be any name, and is refused. Files are never included or imported.
"""

from __future__ import annotations

from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.formats.template_statements import Template
from tradewind.data.model_files.inspection import Inspection, Reading, Source

RULES = {
    rule.id: rule
    for rule in (
        Rule(
            "template-attribute", "blocked",
            "The template reaches for Python's internals, from where rendering it could run anything.",
            "Use the template of the model's own publisher, or render it in a sandbox.",
        ),
        Rule(
            "template-call", "blocked", "The template calls what no chat template needs.",
            "Use the template of the model's own publisher.",
        ),
        Rule(
            "template-file", "blocked", "The template includes or imports another file.",
            "Use a template that is whole in itself.",
        ),
        Rule(
            "template-bomb", "blocked", "Rendering the template would make a text or a loop without end.",
            "Use the template of the model's own publisher.",
        ),
        Rule(
            "template-unreadable", "undecided", "The template has syntax that is not understood here.",
            "Render it only in a sandbox.",
        ),
    )
}  # fmt: skip
_LONGEST = 1 << 20


def judge_template(template: str, source: Source, inspection: Inspection, *, name: str = "") -> None:
    """Tell what rendering a template could do beside making a text of its messages."""
    if len(template) > _LONGEST:
        inspection.found(
            RULES["template-unreadable"],
            f"a template of {len(template)} characters",
            source=source,
            name=name,
        )
        return
    inspection.spend(opcodes=len(template) // 4)
    for rule, text, at, _ in dict.fromkeys(Template().judged(template)):
        inspection.found(
            RULES[rule], f"{name}: {text}" if name else text, source=source, name=name,
            offset=at, preview=template[max(at - 30, 0) : at + 60],
        )  # fmt: skip


def recognises(source: Source) -> bool:
    """Whether a text has Jinja's brackets and nothing that no text has."""
    start = source.read(0, 1 << 16)
    return b"\0" not in start and (b"{%" in start or b"{{" in start) and start.isascii() | _utf8(start)


def _utf8(start: bytes) -> bool:
    try:
        start[:-4].decode()
    except UnicodeDecodeError:
        return False
    return True


def inspect(source: Source, inspection: Inspection) -> None:
    """Judge a file that is a template as a whole, such as `chat_template.jinja`."""
    content = source.read(0, min(source.size, _LONGEST * 4 + 1))
    judge_template(content.decode("utf-8", "replace"), source, inspection)


READING = Reading("jinja", recognises, inspect, RULES)
