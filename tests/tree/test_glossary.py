"""The glossary page is what its script makes of today's docstrings."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_current():
    made = runpy.run_path(str(DOCS / "glossary.py"))["glossary"]()
    assert (DOCS / "glossary.md").read_text(encoding="utf-8") == made, "run: make glossary"


def test_every_word_is_told_with_its_meaning():
    script = runpy.run_path(str(DOCS / "glossary.py"))
    page = script["glossary"]()
    for word in script["WORDS"]:
        told = page.split(f"\n## {word}\n\n")[1].splitlines()[0]
        assert told.endswith(".") and len(told) > 12
    assert "US dollars an instance-hour" in page, "fields are told with their units"
