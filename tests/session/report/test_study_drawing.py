"""The sheet that a study's pictures are drawn on: scales, numbers, thinned lines, and who is drawn at all."""

import math
from xml.etree import ElementTree

import numpy as np
import pytest

from tradewind.session.report.study.choice import chosen, fenced
from tradewind.session.report.study.data import TrialLine
from tradewind.session.report.study.drawing import Scale, Sheet, fitted, number, thinned


def test_ticks_are_round_few_and_within_the_bounds() -> None:
    chance = np.random.default_rng(0)
    for _ in range(400):
        low = float(10.0 ** chance.uniform(-12, 12))
        high = low * float(1 + 10.0 ** chance.uniform(-2, 8))
        for log in (False, True):
            ticks = Scale(low, high, 0.0, 1.0, log).ticks()
            assert 2 <= len(ticks) <= 8, (low, high, log, ticks)
            assert all(low * (1 - 1e-8) <= each <= high * (1 + 1e-8) for each in ticks)
            assert ticks == sorted(set(ticks))
            digits = {f"{each:.12e}".split("e")[0].rstrip("0") for each in ticks}
            assert max(map(len, digits)) <= 8, "round enough to read"
    assert Scale(3.0, 3.0, 0.0, 1.0).ticks() == [3.0]


def test_a_scale_keeps_order_and_ends_at_its_edges() -> None:
    for scale in (Scale(1.0, 1000.0, 50.0, 250.0, log=True), Scale(-2.0, 6.0, 250.0, 50.0)):
        places = [scale.at(value) for value in np.linspace(scale.low, scale.high, 9)]
        assert places == sorted(places, reverse=scale.start > scale.end)
        assert (scale.at(scale.low), scale.at(scale.high)) == pytest.approx((scale.start, scale.end))
        assert scale.at(1e9) == pytest.approx(scale.end), "what lies beyond is drawn at the edge"
        assert scale.at(scale.low - 5) == pytest.approx(scale.start)
    assert Scale(1.0, 1000.0, 0.0, 3.0, log=True).at(10.0) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("values", "log"),
    [
        ([1.0, 9.0], False),
        ([1.0, 10.0], True),
        ([0.0, 100.0], False),
        ([-5.0, 100.0], False),
        ([], False),
        ([2.0], False),
        ([0.0], False),
        ([math.nan, 1.0, 50.0, math.inf], True),
    ],
)
def test_a_scale_is_logarithmic_where_values_are_far_apart(values, log) -> None:
    scale = fitted(values, 0.0, 100.0)
    assert scale.log is log and scale.high > scale.low
    assert all(0 <= scale.at(value) <= 100 for value in values if math.isfinite(value))
    if values and not log:
        assert fitted(values, 0.0, 1.0, zero=True).low == 0 or min(values) < 0


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (0.1, "0.1"),
        (0.30000000000000004, "0.3"),
        (1234.5, "1,234.5"),
        (100000, "100,000"),
        (-0.000123456, "-0.00012346"),
        (3e-9, "3e-9"),
        (1.5e12, "1.5e12"),
        (1e-300, "1e-300"),
        (100.0, "100"),
    ],
)
def test_numbers_are_written_as_people_read_them(value, written) -> None:
    assert number(value) == written
    assert float(number(value).replace(",", "")) == pytest.approx(value, rel=1e-3)


def test_no_peak_is_lost_when_a_line_is_thinned() -> None:
    ys = np.ones(20_000)
    ys[[7_777, 12_345]] = 9.0, -3.0
    points = thinned(range(20_000), ys.tolist())
    assert len(points) < 400
    assert {(7_777, 9.0), (12_345, -3.0), (0, 1.0), (19_999, 1.0)} <= set(points)
    assert [x for x, _ in points] == sorted(x for x, _ in points)


def test_words_stay_words() -> None:
    sheet = Sheet(100, 'a "sheet" of <b>')
    sheet.text(5, 5, "<i>&", most=3)
    sheet.text(5, 25, "a long word", most=6, turned=True)
    sheet.line([(1, 2)], "#000", told="<u>")
    drawn = ElementTree.fromstring(str(sheet))
    assert drawn.attrib["aria-label"] == 'a "sheet" of <b>'
    assert [each.text for each in drawn if each.tag == "text"] == ["<i…", "a lon…"]
    assert drawn[2][0].text == "<u>"


def test_the_best_and_some_of_every_rank_are_chosen() -> None:
    losses = np.random.default_rng(1).permutation(900).astype(float)
    trials = [
        TrialLine(number=at, setting={}, state="completed", final=loss) for at, loss in enumerate(losses)
    ]
    for sign in (1.0, -1.0):
        found = chosen(trials, 90, sign, None)
        ranks = [each.final for each in found]
        assert len(found) == len({each.number for each in found}) == 90
        assert [each.number for each in found] == sorted(each.number for each in found)
        best = sorted((each.final for each in trials), key=lambda loss: sign * loss)[:30]
        assert set(best) <= {each.final for each in found}
        assert all(sum(low <= rank < low + 100 for rank in ranks) >= 6 for low in range(0, 900, 100))
    worst = max(trials, key=lambda each: each.final).number
    assert worst in {each.number for each in chosen(trials, 90, 1.0, worst)}, "the best is, whatever its rank"
    assert chosen(trials[:90], 90, 1.0, None) == trials[:90]


def test_what_diverged_is_fenced_off_and_what_is_spread_is_not() -> None:
    fine = list(np.random.default_rng(2).normal(0.5, 0.1, 100))
    fence, beyond = fenced([*fine, 1e6, 1e9], 1.0)
    assert max(fine) < fence < 1e6 and beyond == 2
    fence, beyond = fenced([-value for value in (*fine, 1e6)], -1.0)
    assert max(fine) < fence < 1e6 and beyond == 1, "in losses"
    assert fenced([*fine, 1e-9, -1e9], 1.0) == (math.inf, 0), "a far better one is no outlier"
    assert fenced([*fine, *(100.0 + k for k in range(40))], 1.0) == (math.inf, 0), "too many to leave out"
    assert fenced([], 1.0) == (math.inf, 0)
