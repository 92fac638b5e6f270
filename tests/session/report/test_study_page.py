"""The study's page: what it tells, that it stands alone, that little or much fits, and a real browser."""

import math
import re
from html import unescape
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from made_studies import SPACE, curves, eventful, opened
from matplotlib.image import imread

from drawn_pages import CHROMIUM, Outline, browser
from tradewind.data.trial_records import StoredTrial
from tradewind.errors import Misuse
from tradewind.session.report.study import pictures
from tradewind.session.report.study.data import StudyData
from tradewind.session.report.study.page import study_page, write_study_page
from tradewind.session.report.study.reading import study_data

LIMIT = 1_200_000
"""Bytes of a page, however much there is to tell."""


def drawn(text: str) -> list[ElementTree.Element]:
    """The pictures of a page, each read as XML."""
    return [ElementTree.fromstring(each) for each in re.findall(r"<svg.*?</svg>", text, re.S)]


def sound(text: str) -> None:
    """Every number of every picture is one, and every word and mark lies on its sheet."""
    for picture in drawn(text):
        _, _, width, height = map(float, picture.attrib["viewBox"].split())
        for each in picture.iter():
            for name in ("d", "x", "y", "cx", "cy", "width", "height"):
                assert not re.search(r"nan|inf", each.attrib.get(name, "")), (name, each.attrib)
            told = each.attrib
            places = [(told.get("x"), told.get("y")), (told.get("cx"), told.get("cy"))]
            places += re.findall(r"[ML]([-\d.]+) ([-\d.]+)", each.attrib.get("d", ""))
            for x, y in places:
                if x is not None and y is not None:
                    assert -1 <= float(x) <= width + 1 and -1 <= float(y) <= height + 1, each.attrib


def words(text: str) -> str:
    outline = Outline()
    outline.feed(text)
    return " ".join(outline.text)


@pytest.fixture(scope="module")
def rich() -> StudyData:
    """What happened to few trials, with the curves of many."""
    many = study_data(curves(36), "made")
    few = study_data(eventful(), "made")
    return msgspec.structs.replace(
        many,
        stretches=few.stretches,
        machines=few.machines,
        notes=few.notes,
        began=few.began,
        ended=few.ended,
    )


def test_the_page_tells_the_study() -> None:
    text = study_page(study_data(eventful(), "made"))
    told = words(text)
    for part in (
        "Study made",
        "minimize the objective · 5 trials: 1 completed, 2 stopped, 1 failed, 1 running",
        "rate = 0.01, layers = 3, optimizer = adam",
        "trial 0, objective 0.05, 20 steps, $0.24",
        "20 steps: the last step of the longest completed trial",
        "2 stopped trials had 31 steps left, 41% of what all would have run; at what each one's own steps "
        "had cost, $0.30",
        "1 revocation, 1 move, 0 failures, 0 lost drivers; at most 4 steps were done again",
        "somebody's request",
        "it smells <of> trouble",
        "the rule of stopping",
        "at 5 of 20 steps it is behind",
        "ValueError: <no> data",
        "a note <for> all",
        "Not said: too few trials have a value, 1 of 10 that it takes.",
        "r4.large@us-east-1a spot",
        "if optimizer = sgd",
        "Where a hyper-parameter has no place beside the others, the line is interrupted.",
        "What the others were heading for (3)",
        "Every trial (5)",
    ):
        assert part in told, part
    for name in ("revoked", "moved", "waiting", "paused", "stopped"):
        assert name in told
    sound(text)


def test_the_page_tells_what_matters_and_what_it_cost(rich) -> None:
    text = study_page(rich)
    told = words(text)
    assert "the values at step 8 of the 36 trials that came so far each hyper-parameter explains" in told
    assert "what random numbers may get" in told and "The forest foretells" in told
    assert "80% interval" in told and "EarlyCurve, clipped" in told
    for at in rich.frontier:
        assert f'<td class="n">{at}</td>' in text
    assert len(drawn(text)) == 5, "curves, settings, importance, costs, timeline"
    sound(text)
    assert study_page(rich) == text, "equal values, equal bytes"


def test_the_page_stands_alone(rich) -> None:
    text = study_page(rich)
    outline = Outline()
    outline.feed(text)
    assert not outline.fetched and not outline.ids
    assert not {"script", "link", "img"} & set(outline.tags)
    assert not re.search(r"url\(", text) and "@import" not in text


def test_what_is_given_cannot_become_markup() -> None:
    nasty = "</title></svg><script>alert(1)</script>"
    space = SPACE.of({nasty: {"low": 0.0, "high": 1.0}, "b" + nasty: [nasty, "fine"]})
    store = opened(space=space)
    for number in range(3):
        store.add("made", {nasty: number / 4, "b" + nasty: nasty}, moment=1.0)
        claim = store.claim("made", nasty, moment=2.0)
        store.assign(claim, nasty, moment=2.0)
        store.report(claim, 1, 0.5, moment=3.0)
        store.finish(claim, ("completed", "stopped", "failed")[number], 0.5, nasty, moment=4.0)
    store.note("made", nasty, moment=5.0)
    text = study_page(msgspec.structs.replace(study_data(store, "made"), name=nasty, earlier=(nasty,)))
    outline = Outline()
    outline.feed(text)
    assert "script" not in outline.tags
    assert nasty in unescape(text)
    sound(text)


def inserted(count: int, state: str, values=(), final=None) -> StudyData:
    store, chance = opened(), np.random.default_rng(0)
    for number in range(count):
        setting = SPACE.setting(chance.random(len(SPACE)))
        steps = tuple(range(1, len(values) + 1))
        store.insert("made", StoredTrial(number, setting, state, steps, values, final, reason="why"))
    return study_data(store, "made")


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (lambda: inserted(0, "waiting"), ("Every trial (0)", "There is none yet", "no trial is completed")),
        (lambda: inserted(1, "waiting"), ("1 trial: 1 waiting", "No trial has reported a value")),
        (
            lambda: inserted(1, "completed", (1.0, 0.5), 0.5),
            ("best value, trial 0", "too few trials have a value, 1 of 10"),
        ),
        (lambda: inserted(12, "completed", (), 0.5), ("are all the same", "The frontier")),
        (lambda: inserted(4, "failed"), ("Failed (4)", "no trial is completed", "4 failed")),
        (lambda: inserted(4, "failed", (math.nan,) * 5), ("Failed (4)", "No trial has reported a value")),
        (
            lambda: inserted(12, "stopped", (1.0, math.nan, 0.5, math.inf)),
            ("Learning curves", "Stopped, when"),
        ),
        (lambda: inserted(3, "completed", (-1e300, 1e300), -1e300), ("-1e300",)),
        (lambda: inserted(3, "completed", (1e-300, 0.0), 0.0), ("best value, trial 0",)),
    ],
    ids=["none", "waiting", "one", "equal", "failed", "nan", "holes", "huge", "tiny"],
)
def test_studies_with_little_to_tell_have_a_page_too(data, parts) -> None:
    text = study_page(data())
    told = words(text)
    for part in parts:
        assert part in told, part
    sound(text)


def test_the_best_lies_above_all_and_what_diverged_at_the_edge() -> None:
    store = curves(30)
    store.insert(
        "made",
        StoredTrial(30, SPACE.setting([0.5] * 4), "completed", (1, 2, 3), (1.0, 1e7, 1e9), 1e9, 1.0),
    )
    text = study_page(study_data(store, "made"))
    told = words(text)
    assert "rawn at the edge: 2 values far worse than the others" in told
    assert "rawn at the edge: 1 objective far worse than the others" in told
    sound(text)
    lines = [
        each
        for each in drawn(text)[0]
        if each.tag == "path" and len(each) and not each.get("stroke-dasharray")
    ]
    curves_only = [each for each in lines if float(each.attrib["stroke-width"]) in (1.2, 3.0)]
    assert "(the best)" in curves_only[-1][0].text and len(curves_only) >= 31


def test_a_curve_that_left_for_a_while_does_not_press_the_others_together() -> None:
    store = curves(30)
    values = (1.2, 1.0, 1e6, 0.9, 0.8)
    store.insert("made", StoredTrial(30, SPACE.setting([0.5] * 4), "stopped", (1, 2, 3, 4, 5), values))
    data = study_data(store, "made")
    svg, left = pictures.curves(data)
    assert "drawn at the edge: 1 value far worse than the others" in left
    ticks = [
        each.text for each in ElementTree.fromstring(svg).iter("text") if each.get("text-anchor") == "end"
    ]
    assert len(ticks) >= 3 and all(float(each.replace(",", "")) < 50 for each in ticks)
    early = [each for each in data.trials if each.state == "stopped"]
    assert min(each.values[0] for each in early) > 1.0, "and where trials begin is in the picture"
    assert any(float(each.replace(",", "")) >= 1.0 for each in ticks)


def test_of_a_thousand_trials_some_are_drawn_and_it_is_said() -> None:
    data = study_data(curves(1000), "made")
    text = study_page(data)
    told = words(text)
    assert re.search(r"1[56]\d of 1,000 curves are drawn", told)
    assert "200 of 334 completed trials are drawn" in told
    assert re.search(r"60\d of 1,000 trials are drawn", told), "dots"
    assert "Every trial (1,000)" in told and len(text.encode()) < LIMIT
    sound(text)
    best = [each for each in drawn(text)[0].iter() if "(the best)" in "".join(each.itertext())]
    assert best, "the best is among those drawn"


def test_of_many_lanes_those_that_met_the_most_are_drawn(rich) -> None:
    trials = tuple(
        msgspec.structs.replace(each, number=at, revocations=int(at % 7 == 3))
        for at, each in enumerate(rich.trials * 4)
    )
    stretches = tuple(
        msgspec.structs.replace(rich.stretches[1], number=at, started=float(at), ended=at + 50.0)
        for at in range(len(trials))
    )
    svg, left = pictures.timeline(msgspec.structs.replace(rich, trials=trials, stretches=stretches))
    assert left.startswith(f"{pictures.MOST_LANES} of 144 trials are drawn")
    lanes = {each.text for each in ElementTree.fromstring(svg).iter("text")}
    assert {str(at) for at in range(144) if at % 7 == 3} <= lanes


def test_many_hyper_parameters_and_long_names_fit() -> None:
    space = SPACE.of(
        {f"a_rather_long_name_of_a_hyper_parameter_{k}": {"low": 0.0, "high": 1.0} for k in range(15)}
        | {"kind": [f"value number {k} of a choice" for k in range(30)]}
    )
    store, chance = opened(space=space), np.random.default_rng(0)
    for number in range(20):
        point = chance.random(len(space))
        store.insert("made", StoredTrial(number, space.setting(point), "completed", (), (), float(point[3])))
    data = study_data(store, "made")
    text = study_page(data)
    assert "12 of 16 hyper-parameters are drawn, those that matter most" in words(text)
    shares = {
        axis.name[-2:]: share.mean for axis, share in zip(data.axes, data.importance.shares, strict=True)
    }
    assert max(shares, key=shares.__getitem__) == "_3"
    sound(text)


def test_the_page_is_written_whole_or_not_at_all(tmp_path, rich) -> None:
    path = tmp_path / "a" / "study.html"
    write_study_page(rich, path)
    assert path.read_text(encoding="utf-8") == study_page(rich)
    assert [each.name for each in path.parent.iterdir()] == ["study.html"]
    with pytest.raises(Misuse, match="cannot be written"):
        write_study_page(rich, path / "below.html")


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_chromium_draws_the_page(tmp_path, rich) -> None:
    path, shot = tmp_path / "study.html", tmp_path / "study.png"
    long = "a_name_without_a_space_" * 8
    write_study_page(msgspec.structs.replace(rich, name=long[:200]), path)
    done = browser(
        tmp_path,
        "--window-size=1200,4600",
        "--enable-logging=stderr",
        f"--screenshot={shot}",
        url=path.as_uri(),
    )
    assert shot.exists(), done.stderr[-2000:]
    assert "CONSOLE" not in done.stderr, "the page has nothing to complain of"
    seen = imread(shot)[..., :3]
    assert seen.shape[:2] == (4600, 1200)
    # The column is 992 wide in the middle: nothing sticks out of it on either side.
    assert (seen[:, :100] > 0.9).all() and (seen[:, 1100:] > 0.9).all()
    ink = np.flatnonzero((seen.max(axis=2) < 0.85).mean(axis=1) > 0)
    assert ink[-1] > 3000, "the page reaches down to its trials"
    for color, least in (
        (0x0072B2, 3000),
        (0x56B4E9, 3000),
        (0xD55E00, 300),
        (0xE69F00, 300),
        (0xB91C1C, 30),
    ):
        wanted = np.array([color >> 16, color >> 8 & 255, color & 255]) / 255
        assert (np.abs(seen - wanted).max(axis=2) < 0.06).sum() > least, f"{color:06x} is drawn"
