"""Growth as a report tells it: cohorts, releases, and how long lines live."""

import json

import pytest

from tradewind.audit.growth.cohorts import Curve, Growth
from tradewind.audit.growth.releases import Distribution, Release
from tradewind.session.audit.growing import growth_section, survival, write_growth_files

YEAR = int(365.25 * 86400)


@pytest.fixture
def growth():
    curves = {
        by: (Curve("2020", (10, 8, 4), (100, 80, 40)), Curve("2021", (0, 6, 6), (0, 60, 60)))
        for by in ("cohort", "author", "domain", "directory", "extension")
    }
    lived = {"a": ((0, 10), (YEAR, 8), (2 * YEAR, 4)), "b": ((YEAR, 6), (2 * YEAR, 6))}
    return Growth("head", ("x", "y", "z"), (0, YEAR, 2 * YEAR), curves, lived)


def test_survival_is_the_share_of_lines_that_got_as_old(growth):
    told = dict(survival(growth))
    assert told[0.0] == 1.0
    assert told[1.0] == (8 + 6) / 16
    assert told[2.0] == 4 / 10
    assert max(told) == 2.0
    assert survival(Growth("", (), (), {}, {})) == ()


def test_a_section_has_what_was_measured(growth):
    release = Release("1.0", "wheel", Distribution("a-1.0-py3-none-any.whl", 5, 7.0, 9), 1)
    section = growth_section(growth, "r", [release], "a")
    assert [(c.name, c.values) for c in section.cohorts] == [("2020", (10, 8, 4)), ("2021", (0, 6, 6))]
    assert [(r.name, r.moment, r.bytes, r.unpacked) for r in section.releases] == [("a 1.0", 7.0, 5, 9)]
    alone = growth_section(None, "", [release, release])
    assert not alone.cohorts and len(alone.releases) == 2


def test_the_files_of_git_of_theseus_are_written(growth, tmp_path):
    names = write_growth_files(growth, tmp_path)
    assert "cohorts.json" in names and len(names) == 6
    assert json.loads((tmp_path / "cohorts.json").read_text())["y"] == [[10, 8, 4], [0, 6, 6]]
