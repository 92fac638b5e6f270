"""The comparison's page: what it tells, that it stands alone, and how it looks in a real browser."""

import re
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from matplotlib.image import imread

from drawn_pages import CHROMIUM, Outline, browser
from tradewind import clock
from tradewind.session.comparison_table import blocks_of, lines_of
from tradewind.session.report import pictures
from tradewind.session.report.comparison_data import (
    CLAIRVOYANT,
    CLAIRVOYANT_PAYING,
    Comparison,
    Held,
    Lane,
    Timeline,
    Trial,
)
from tradewind.session.report.comparison_page import (
    COLUMNS,
    cells,
    comparison_page,
    method,
    summary,
    write_comparison,
)
from tradewind.session.report.data import PriceLine, Source

START = clock.moment("2015-04-06T00:00:00Z")
DAY = 86_400.0
HOURS = 3600.0
POLICIES = ("cheapest_spot", "checkpoint_restart", "on_demand", CLAIRVOYANT, CLAIRVOYANT_PAYING)


def held(count: int, pool: str, begun: float, ended: float, ending: str, **told) -> Held:
    told = {"terms": "spot", "purpose": "work", "vcpus": 4.0, **told}
    return Held(pool=pool, count=count, started=START + begun, ended=START + ended, ending=ending, **told)


def example(starts: int = 40) -> Comparison:
    """Forty starts of a job of two hours; the numbers are made up for the page only."""
    chance = np.random.default_rng(5)
    trials = []
    moments = tuple(START + DAY * k for k in range(starts))
    for k, start in enumerate(moments):
        least = float(1.0 + 0.2 * chance.random())
        for name, factor, seconds in (
            ("cheapest_spot", 1.4, 7300.0),
            ("checkpoint_restart", 1.9, 9000.0),
            ("on_demand", 5.0, 7200.0),
            (CLAIRVOYANT, 1.0, 8000.0),
            (CLAIRVOYANT_PAYING, 1.1, 8000.0),
        ):
            took = seconds + float(2000 * chance.random()) * (name == "checkpoint_restart")
            refused = name == "checkpoint_restart" and k % 10 == 3
            trials.append(
                Trial(
                    policy=name,
                    start=start,
                    outcome="refused" if refused else "done",
                    reason="no single pool has <room>" if refused else "",
                    cost=0.0 if refused else least * factor,
                    seconds=took,
                    late=took > 3 * HOURS,
                    work=1024.0,
                    revocations=k % 3 if "spot" in name or "restart" in name else 0,
                    bound=least if name != CLAIRVOYANT_PAYING else None,
                    attained=1.05 * least if name == CLAIRVOYANT else None,
                )
            )
    one, other = "c3.xlarge@us-east-1a", "r3.large@us-east-1b"
    lanes = (
        Lane(
            policy="cheapest_spot",
            outcome="done",
            cost=1.5,
            ended=START + 2.1 * HOURS,
            held=(
                held(
                    1, "m3.medium@us-east-1a", 0, 2.1 * HOURS, "released", terms="on_demand", purpose="state"
                ),
                held(96, one, 0, 1.0 * HOURS, "revoked"),
                held(32, other, 0, 2.1 * HOURS, "released"),
                held(96, other, 1.0 * HOURS, 2.1 * HOURS, "released"),
            ),
        ),
        Lane(
            policy="checkpoint_restart",
            outcome="done",
            cost=2.2,
            ended=START + 2.6 * HOURS,
            held=(
                held(128, one, 0, 1.0 * HOURS, "revoked"),
                held(128, other, 1.2 * HOURS, 2.6 * HOURS, "released"),
            ),
        ),
        Lane(
            policy="on_demand",
            outcome="done",
            cost=5.1,
            ended=START + 2 * HOURS,
            held=(held(128, one, 0, 2 * HOURS, "released", terms="on_demand"),),
        ),
    )
    times = tuple(START + 600.0 * np.arange(17))
    kind, weeks = blocks_of(moments)
    return Comparison(
        title="adult: policies compared",
        policies=POLICIES,
        history="prices-2015.csv.gz",
        asked=starts,
        seed=7,
        starts=moments,
        trials=tuple(trials),
        lines=lines_of(trials, POLICIES, 3 * HOURS),
        blocks=kind,
        weeks=weeks,
        attained=1.05,
        deadline=3 * HOURS,
        budget=None,
        work=1024.0,
        rate=1.0,
        startup=180.0,
        timeline=Timeline(
            start=START,
            end=START + 2.6 * HOURS,
            deadline=START + 3 * HOURS,
            chosen="Of all starts this is the one at which cheapest_spot paid its median.",
            lanes=lanes,
            prices=(
                PriceLine(one, times, tuple(0.04 + 0.4 * (np.arange(17) == 6))),
                PriceLine(other, times, (0.05,) * 17),
            ),
        ),
        real=("The prices are recorded.",),
        simulated=("The work is a model.",),
        sources=(Source("prices", "somebody", "MIT"),),
        version="0.1.0",
    )


@pytest.fixture(scope="module")
def told() -> str:
    return comparison_page(example())


def test_the_page_tells_the_comparison(told) -> None:
    outline = Outline()
    outline.feed(told)
    text = " ".join(outline.text)
    for part in (
        "1,024 vCPU-hours of modelled work within 3h, from 40 random starts (seed 7)",
        "for a price-taker; nothing was rented",
        "cheapest_spot",
        "clairvoyant (bound)",
        "the same, nothing free",
        "1.400",
        "40 of 40",
        "36 of 40",
        "starts drawn one by one for want of calendar weeks (6)",
        "schedules made with hindsight cost 1.050 of the bound",
        "no single pool has <room>",
        "Every start (40)",
        "The work is a model.",
    ):
        assert part in text, part
    assert text.count("refused") >= 4
    outside = [name for name in COLUMNS if name not in ("95 %", "p95")]
    assert all(name in text for name in outside)


def test_the_page_stands_alone_and_is_the_same_for_the_same_values(told) -> None:
    outline = Outline()
    outline.feed(told)
    assert not outline.fetched and "script" not in outline.tags
    assert not re.search(r"url\((?!#)", told) and "@import" not in told
    assert len(outline.ids) == len(set(outline.ids))
    assert len(told) < 400_000
    assert comparison_page(example()) == told


def test_what_is_given_cannot_become_markup() -> None:
    nasty = "<script>alert(1)</script>"
    made = example(9)
    made = msgspec.structs.replace(
        made,
        title=nasty,
        history=nasty,
        policies=tuple(nasty if name == "cheapest_spot" else name for name in made.policies),
        trials=tuple(msgspec.structs.replace(each, reason=nasty) for each in made.trials),
        lines=tuple(
            msgspec.structs.replace(each, policy=nasty, reasons=((nasty, 2),)) for each in made.lines
        ),
        timeline=msgspec.structs.replace(
            made.timeline,
            chosen=nasty,
            lanes=tuple(msgspec.structs.replace(lane, policy=nasty) for lane in made.timeline.lanes),
        ),
    )
    outline = Outline()
    outline.feed(comparison_page(made))
    assert "script" not in outline.tags


def test_points_deadline_and_bounds_are_drawn() -> None:
    made = example()
    tree = ElementTree.fromstring(pictures.scatter(made.trials, made.policies, made.deadline))
    labels = {"".join(each.itertext()).strip() for each in tree.iter("{http://www.w3.org/2000/svg}text")}
    assert {"cheapest_spot", "clairvoyant (bound)", "deadline", "US dollars"} <= labels
    points = sum(1 for _ in tree.iter("{http://www.w3.org/2000/svg}use"))
    done = sum(each.outcome == "done" for each in made.trials)
    assert points >= done, "a point for every policy and start"
    dear = [msgspec.structs.replace(each, cost=100 * each.cost) for each in made.trials[:1]]
    assert ">100<" in pictures.scatter([*made.trials, *dear], made.policies, None), "far apart: logarithmic"


def test_lanes_show_what_was_held_and_what_was_lost() -> None:
    made = example()
    tree = ElementTree.fromstring(pictures.lanes(made.timeline))
    labels = {"".join(each.itertext()).strip() for each in tree.iter("{http://www.w3.org/2000/svg}text")}
    assert {"cheapest_spot: $1.50", "checkpoint_restart: $2.20", "on_demand: $5.10"} <= labels
    assert {"c3.xlarge@us-east-1a, spot", "holds the model", "on demand", "revoked"} <= labels
    empty = Lane(policy="tried", outcome="refused", cost=0.0, ended=START, held=())
    bare = Timeline(start=START, end=START + 60, deadline=None, chosen="", lanes=(empty,))
    assert "tried: $0.0000, refused" in pictures.lanes(bare)


def test_a_comparison_of_nothing_done_has_a_page_too() -> None:
    made = example(9)
    trials = tuple(msgspec.structs.replace(each, outcome="refused", reason="no room") for each in made.trials)
    made = msgspec.structs.replace(
        made, trials=trials, lines=lines_of(trials, POLICIES, None), timeline=None, asked=20, attained=None
    )
    text = comparison_page(made)
    assert "9 random starts of 20 asked for" in text and "no room" in text
    assert cells(made.lines[0])[1] == "–" and cells(made.lines[0])[-1] == "0 of 9"


def test_words_for_what_was_compared() -> None:
    made = msgspec.structs.replace(example(60), budget=4.0)
    assert summary(made).startswith("1,024 vCPU-hours of modelled work within 3h for $4.00 at most, from 60")
    assert "calendar weeks drawn with replacement, 9 of them" in method(made)


def test_the_page_is_written_whole(tmp_path) -> None:
    write_comparison(example(9), tmp_path / "out" / "c.html")
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["c.html"]


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_chromium_draws_the_page(tmp_path) -> None:
    path = tmp_path / "c.html"
    write_comparison(example(), path)
    shot = tmp_path / "page.png"
    done = browser(tmp_path, "--window-size=1100,2600", f"--screenshot={shot}", url=path.as_uri())
    assert shot.exists(), done.stderr[-2000:]
    seen = imread(shot)[..., :3]
    ink = np.flatnonzero((seen.max(axis=2) < 0.85).mean(axis=1) > 0)
    assert ink[-1] > 2000, "the page reaches down to its starts"
    # Nothing sticks out to the right of the page's column: the table is no wider than it.
    assert (seen[:, 1075:] > 0.9).all()
    for color, least in ((0x0072B2, 2000), (0xD55E00, 2000), (0xB91C1C, 30)):
        wanted = np.array([color >> 16, color >> 8 & 255, color & 255]) / 255
        assert (np.abs(seen - wanted).max(axis=2) < 0.05).sum() > least, f"{color:06x} is drawn"
