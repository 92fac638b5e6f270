"""Bars and curves of an audit, from their figures."""

import re

from tradewind.session.report.audit import pictures
from tradewind.session.report.audit.data import (
    GpuLine,
    GrowthLine,
    GrowthSection,
    PackageLine,
    ReleaseLine,
    RunLine,
    ShareLine,
    VulnerabilityLine,
)


def test_degrees_fall_into_their_bins():
    degrees = {"apt:a": 0, "apt:b": 1, "apt:c": 100, "apt:d": 101, "apt:e": 999, "apt:f": 1000, "apt:g": 1000}
    lines = [PackageLine(key, "1", "ML", 1000, 1000 - removed, "used") for key, removed in degrees.items()]
    told = re.findall(r"<title>(\d+) ML packages of degree ([^<]+)</title>", pictures.histogram(lines))
    assert told == [("1", "0"), ("2", "to 0.1"), ("1", "to 0.2"), ("1", "below 1"), ("2", "1")]


def test_bars_have_the_lengths_of_their_figures():
    picture = pictures.share_bars([ShareLine("all", 1000, 250), ShareLine("half", 500, 0)], "t")
    wide = {
        (color, round(float(width)))
        for width, color in re.findall(r'width="([\d.]+)" height="17.0" fill="(#\w+)"', picture)
    }
    (whole,) = [width for color, width in wide if color == "#F2C9A5" and width > 400]
    assert ("#0072B2", round(whole / 4)) in wide and ("#F2C9A5", round(whole / 2)) in wide
    run = RunLine("r", "b", "c", 1.0, 0, 9, 100, 3, 40)
    assert "9 files, 3 new" in pictures.run_bars([run])
    assert "it does not" in pictures.gpu_bars([GpuLine("sm_70", "cubin", 1, 5, False)])
    assert "it does not" not in pictures.gpu_bars([GpuLine("sm_70", "cubin", 1, 5)])


def test_states_are_drawn_before_and_after():
    lines = [VulnerabilityLine("p", "1", "A", "removed", "present-untouched"),
             VulnerabilityLine("p", "1", "B", "present-loaded", "present-loaded")]  # fmt: skip
    picture = pictures.state_bars([("pip", lines)])
    assert "pip, before: 1 present-untouched" in picture and "pip, after: 1 removed" in picture
    assert "2, 1 removed" in picture
    alone = pictures.state_bars([("pip", [VulnerabilityLine("p", "1", "A", "unknown")])])
    assert "before" not in alone.replace("before and after", "") and "pip: 1 unknown" in alone


def test_growth_is_stacked_and_its_curves_stay_on_the_sheet():
    growth = GrowthSection(
        moments=tuple(1.5e9 + k * 1e7 for k in range(10)),
        cohorts=(GrowthLine("2017", (5.0,) * 10), GrowthLine("2018", tuple(float(k) for k in range(10)))),
    )
    picture = pictures.cohorts(growth)
    assert "2017: 5 lines at the end" in picture and ">2018<" in picture and "9 lines" in picture
    curve = pictures.survival([(k / 12, 0.97**k) for k in range(40)])
    (drawn,) = re.findall(r'<path d="M([^"]+)" stroke="#0072B2"', curve)
    places = [tuple(map(float, each.split())) for each in drawn.split("L")]
    assert places[0][0] < 80 and places[-1][0] > 800 and places[0][1] < places[-1][1]
    released = pictures.releases([ReleaseLine("a", 1.5e9, 10**6), ReleaseLine("b", 1.6e9, 2 * 10**6)])
    assert "a: 1 MB" in released and "b: 2 MB" in released
    assert pictures.releases([ReleaseLine("a", 1.5e9, 10**6)])
    assert pictures.cohorts(GrowthSection(moments=(1.5e9,), cohorts=(GrowthLine("x", (0.0,)),)))
