"""Names that stay in a folder on every system, and names that do not."""

import pytest

from tradewind.data.model_files.formats.file_names import astray


@pytest.mark.parametrize("name", ["w.bin", "a/b.bin", ".hidden", "a..b", "größe", "./w", "a b", "-x", "w%2e"])
def test_names_inside(name):
    assert astray(name) == ""


@pytest.mark.parametrize(
    "name",
    ["", " ", "/x", "\\x", "~/x", "..", "a/..", "a\\..\\b", "C:x", "c:\\x", "http://x", "file:x",
    "a\0b", "a\n", "x.", "x ", "a./b", "\x7f"],
    ids=range(18),
)  # fmt: skip
def test_names_that_lead_away(name):
    assert astray(name)
