"""The endpoint's page: what it tells, that it stands alone, and a real browser."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.image import imread
from msgspec.structs import replace

from drawn_pages import CHROMIUM, Outline, browser
from small_endpoint import write_endpoint
from tradewind.errors import Misuse
from tradewind.session.report.endpoint.data import EndpointData
from tradewind.session.report.endpoint.page import endpoint_page, write_endpoint_page
from tradewind.session.report.endpoint.reading import endpoint_data


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> EndpointData:
    """An endpoint that ended well."""
    folder = tmp_path_factory.mktemp("endpoint")
    write_endpoint(folder / "journal.sqlite")
    return endpoint_data(folder)


def outline(text: str) -> Outline:
    found = Outline()
    found.feed(text)
    return found


def test_the_page_tells_the_endpoint(data) -> None:
    text = endpoint_page(data)
    told = " ".join(outline(text).text)
    for part in (
        "Endpoint made",
        "policy fixed · ended · it was asked to stop",
        "99.10%",
        "in time (p99<50ms)",
        "of 100 requests 99",
        "1,100 in time, 6 late, 4 refused; 2 were lost with a machine and run again on another",
        "$0.24",
        "on demand for the peak (computed)",
        "computed, not run: 6 p2.xlarge at $0.90 an hour, for the 102.0 requests a second of the busiest 5m",
        "30m of the market, 60 of its seconds in one of the wall's",
        "Latency over time",
        "6 p2.xlarge on demand for the peak all along (computed, not run)",
        "lease-0002, p2.xlarge@us-east-1c: revoked",
        "a <reason> at 600",
        "It <was> not.",
    ):
        assert part in told, part
    assert "<reason>" not in text


def test_it_stands_alone_and_is_the_same_every_time(data) -> None:
    text = endpoint_page(data)
    found = outline(text)
    assert found.fetched == [] and "script" not in found.tags
    assert len(found.ids) == len(set(found.ids)) and len(text) < 200_000
    assert endpoint_page(data) == text


def test_every_number_of_every_picture_is_one(data, tmp_path) -> None:
    write_endpoint(tmp_path / "journal.sqlite", killed=True)
    beyond = replace(data, slices=tuple(replace(each, tail=float("inf")) for each in data.slices))
    for each in (data, endpoint_data(tmp_path), beyond, replace(data, peak=None), replace(data, fleets=())):
        drawn = re.findall(r"<svg.*?</svg>", endpoint_page(each), re.S)
        assert len(drawn) == 4
        for picture in drawn:
            ElementTree.fromstring(picture)
            assert not re.search(r'="[^"]*\b(nan|inf)\b', picture)


def test_one_of_which_little_is_known(tmp_path) -> None:
    write_endpoint(tmp_path / "journal.sqlite", empty=True)
    told = " ".join(outline(endpoint_page(endpoint_data(tmp_path))).text)
    assert "it goes on, or was killed" in told and "not on record" in told and "on demand" not in told


def test_a_place_that_is_none(data, tmp_path) -> None:
    with pytest.raises(Misuse, match="cannot be written"):
        write_endpoint_page(data, tmp_path)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_draws_it(data, tmp_path) -> None:
    write_endpoint_page(data, tmp_path / "report.html")
    shot = tmp_path / "shot.png"
    ran = browser(
        tmp_path, "--window-size=1100,2400", f"--screenshot={shot}", url=f"file://{tmp_path / 'report.html'}"
    )
    assert ran.returncode == 0 and "Refused to" not in ran.stderr, ran.stderr
    pixels = imread(shot)[..., :3]
    assert pixels.shape[:2] == (2400, 1100)
    # The lines of the pictures are there in their colours: the promise, the median, the tail, the machines.
    for color in ((0xB9, 0x1C, 0x1C), (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x56, 0xB4, 0xE9)):
        near = np.abs(pixels - np.array(color) / 255).max(axis=2) < 0.02
        assert near.sum() > 50, color


def test_functions_are_beside_the_machines_and_in_the_sum(tmp_path, data) -> None:
    """54 calls for $0.0005125 of the $0.2375 in all; functions answered 50 of 1,106."""
    write_endpoint(tmp_path / "journal.sqlite", functions=True)
    with_functions = endpoint_page(endpoint_data(tmp_path))
    told = " ".join(outline(with_functions).text)
    for part in (
        "of it for functions",
        "50 of the requests went to functions, in 54 calls",
        "charged $0.0000166667 a GB-second, by 1 ms, and $0.0000002 a call",
        "Who answered, and for how much",
        "machines 1,056 2 leases $0.2370",
        "functions 50 25.000 GB-seconds in 54 calls $0.0005125",
        "together 1,106",
        "$0.2375",
        "The lower line is what of it goes to functions.",
    ):
        assert part in re.sub(r"\s+", " ", told), part
    without = endpoint_page(data)
    assert "Who answered, and for how much" not in without and "for functions" not in without
