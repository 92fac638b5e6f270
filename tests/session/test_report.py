"""The report's page: what it tells, that it stands alone, and how it looks in a real browser."""

import re
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from matplotlib.image import imread

from drawn_pages import CHROMIUM, Outline, browser
from tradewind import clock
from tradewind.control.records import Sample
from tradewind.errors import Misuse
from tradewind.session.report import pictures
from tradewind.session.report.data import (
    ComparisonRow,
    DecisionRow,
    EstimateRow,
    LeaseBar,
    PriceLine,
    ReportData,
    Source,
)
from tradewind.session.report.page import dollars, page, write_page

START = clock.moment("2020-01-05T00:00:00Z")


def example() -> ReportData:
    """A run of five hours on two pools with three revocations; the numbers are made up for the page only."""
    chance = np.random.default_rng(1)
    end = START + 5 * 3600
    times = tuple(START + 600.0 * np.arange(30))
    pools = ("p2.xlarge@us-east-1a", "p3.2xlarge@us-east-1c")
    lines = tuple(
        PriceLine(pool, times, tuple((level + 0.02 * chance.standard_normal(30)).round(4)), ask)
        for pool, level, ask in zip(pools, (0.27, 0.92), (0.90, 3.06), strict=True)
    )
    bars = [
        LeaseBar(
            id="l0",
            pool="m5.large@us-east-1a",
            terms="on_demand",
            purpose="state",
            started=START,
            ended=end,
            ending="released",
            cost=0.48,
        )
    ]
    for k in range(6):
        began = START + 60 + 2400 * k
        revoked = k % 2 == 0
        bars.append(
            LeaseBar(
                id=f"l{k + 1}",
                pool=pools[k % 2],
                terms="spot",
                purpose="work",
                started=began,
                ended=began + 5000,
                ending="revoked" if revoked else "released",
                warned=began + 4880 if revoked else None,
                cost=0.3 + 0.1 * k,
            )
        )
    samples = tuple(
        Sample(
            moment=START + 600.0 * k,
            done=1000.0 * k,
            total=30000.0,
            loss=float(0.33 + 0.36 * np.exp(-k / 8)),
            leases=4,
            spent=0.05 * k,
            on_demand_spent=0.17 * k,
        )
        for k in range(30)
    )
    decisions = tuple(
        DecisionRow(
            START + 900.0 * k,
            f"p2.xlarge@us-east-1a asks $0.27{k % 10} an hour, the least of 12 pools that fit; 3 of 4 held",
            ("take 1 spot p2.xlarge@us-east-1a at most $0.90",) if k % 3 == 0 else (),
            "granted 1 of 1" if k % 3 == 0 else "",
        )
        for k in range(40)
    )
    return ReportData(
        title="adult on the market of January 2020",
        outcome="done",
        policy="cheapest_spot",
        started=START,
        ended=end,
        wall_seconds=300.0,
        cost=1.52,
        cost_on_demand=5.04,
        revocations=3,
        quality=0.8497,
        quality_name="accuracy",
        facts=(("learner", "LinearLearner(loss=logistic)"), ("rows", "32,561 × 3 epochs <exactly>")),
        prices=lines,
        leases=tuple(bars),
        samples=samples,
        decisions=decisions,
        estimates=(
            EstimateRow("time", "seconds", 15000, 17000, 20000, 18000),
            EstimateRow("cost", "dollars", 1.6, 1.9, 2.4, 1.52),
        ),
        comparison=(
            ComparisonRow(
                name="cheapest_spot",
                cost=1.52,
                seconds=18000,
                quality=0.8497,
                revocations=3,
                how="ran for real",
            ),
            ComparisonRow(name="on_demand", cost=5.04, seconds=16000, quality=0.8497, revocations=0),
            ComparisonRow(name="checkpoint_restart", cost=2.11, seconds=26000, quality=None, revocations=3),
        ),
        real=("The worker processes, their notices (SIGTERM) and their ends (SIGKILL).",),
        simulated=("The market: recorded prices of 2020, replayed sixty times as fast.",),
        sources=(Source("spot prices", "stanford-futuredata/training_on_a_dime", "MIT"),),
        version="0.1.0",
    )


@pytest.fixture(scope="module")
def told() -> str:
    return page(example())


def test_the_page_tells_the_run(told):
    outline = Outline()
    outline.feed(told)
    text = " ".join(outline.text)
    for part in (
        "adult on the market of January 2020",
        "cheapest_spot",
        "$1.52",
        "$5.04",
        "70%",
        "5h",
        "0.8497",
        "32,561 × 3 epochs <exactly>",
        "ran for real",
        "training_on_a_dime",
        "SIGKILL",
        "Every decision (40)",
    ):
        assert part in text, part
    assert text.count("the least of 12 pools that fit") == 40, "every decision is told with its reason"
    assert "inside" in text and "outside" in text
    assert re.search(r"p3\.2xlarge@us-east-1c, spot", text), "the picture's text is text"


def test_the_page_stands_alone(told):
    outline = Outline()
    outline.feed(told)
    assert not outline.fetched
    assert "script" not in outline.tags and "link" not in outline.tags and "img" not in outline.tags
    assert not re.search(r"url\((?!#)", told) and "@import" not in told
    assert len(outline.ids) == len(set(outline.ids)), "no two elements have one id"
    assert len(told) < 200_000


def test_equal_runs_give_equal_pages(told):
    assert page(example()) == told


def test_what_the_user_wrote_cannot_become_markup():
    nasty = "<script>alert(1)</script>"
    data = msgspec.structs.replace(
        example(),
        title=nasty,
        reason=nasty,
        facts=((nasty, nasty),),
        prices=(PriceLine(nasty, (START,), (1.0,), 2.0),),
        leases=tuple(msgspec.structs.replace(bar, id=nasty, pool=nasty) for bar in example().leases),
        decisions=(DecisionRow(START, nasty, (nasty,), nasty),),
    )
    outline = Outline()
    outline.feed(page(data))
    assert "script" not in outline.tags


def test_a_run_that_did_nothing_has_a_page_too():
    bare = ReportData(title="nothing yet", outcome="running", started=START, ended=START, cost=0.0)
    text = page(bare)
    assert "nothing yet" in text and "Every decision (0)" in text and "<svg" not in text
    one = msgspec.structs.replace(
        bare,
        leases=(LeaseBar(id="a", pool="x@y", terms="spot", purpose="work", started=START),),
        samples=(Sample(START, 0.0, 1.0, float("nan"), 0, 0.0, 0.0),),
    )
    assert "<svg" in page(one)


def test_pictures_hold_every_revocation_and_stay_small():
    data = example()
    svg = pictures.timeline(data.prices, data.leases, data.started, data.ended)
    tree = ElementTree.fromstring(svg)
    labels = {"".join(each.itertext()).strip() for each in tree.iter("{http://www.w3.org/2000/svg}text")}
    assert {"notice", "revoked", "US dollars an hour"} <= labels
    many = tuple(START + 5.0 * np.arange(200_000))
    prices = np.ones(200_000)
    line = PriceLine("a@b", many, tuple(prices))
    flat = pictures.timeline([line], [], START, many[-1])
    assert len(flat) < 150_000
    prices[123_457] = 7.0
    peak = pictures.timeline([PriceLine("a@b", many, tuple(prices))], [], START, many[-1])
    assert ">7<" in peak and ">7<" not in flat, "a single peak among many points is drawn"


def test_price_picture_is_written_whole_or_refused(tmp_path):
    lines = example().prices
    for name, magic in (("p.svg", b"<?xml"), ("p.png", b"\x89PNG")):
        pictures.price_picture(lines, START, START + 3600, tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(magic)
    with pytest.raises(Misuse, match=r"\.svg or \.png"):
        pictures.price_picture(lines, START, START + 3600, tmp_path / "p.gif")
    with pytest.raises(Misuse, match="cannot be written"):
        pictures.price_picture(lines, START, START + 3600, tmp_path / "p.svg" / "p.png")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["p.png", "p.svg"]


def test_the_page_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "run" / "report.html"
    write_page(example(), path)
    assert path.read_text(encoding="utf-8") == page(example())
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]
    with pytest.raises(Misuse, match="cannot be written"):
        write_page(example(), path / "below" / "report.html")


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (None, "–"),
        (0.0, "$0.00"),
        (1234.5, "$1,234.50"),
        (0.0123, "$0.0123"),
        (0.48, "$0.48"),
        (0.5, "$0.50"),
        (-0.25, "$-0.25"),
        (1.005, "$1.00"),
    ],
)
def test_money(amount, written):
    assert dollars(amount) == written


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_chromium_draws_the_page(tmp_path):
    path = tmp_path / "report.html"
    write_page(example(), path)
    shot = tmp_path / "page.png"
    done = browser(tmp_path, "--window-size=1100,2600", f"--screenshot={shot}", url=path.as_uri())
    assert shot.exists(), done.stderr[-2000:]
    seen = imread(shot)
    assert seen.shape[:2] == (2600, 1100)
    ink = (seen[..., :3].max(axis=2) < 0.85).mean(axis=1)
    drawn = np.flatnonzero(ink > 0)
    assert drawn[-1] > 1800, "the page reaches down to its decisions"
    vermillion = np.abs(seen[..., :3] - np.array([0xD5, 0x5E, 0x00]) / 255).max(axis=2) < 0.05
    assert vermillion.sum() > 100, "the second pool's price line is drawn"
    crosses = np.abs(seen[..., :3] - np.array([0xB9, 0x1C, 0x1C]) / 255).max(axis=2) < 0.05
    assert crosses.sum() > 30, "revocations are marked"
