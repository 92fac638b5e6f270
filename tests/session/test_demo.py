"""The demo, shortened: real revocations, the run beside the others, and the model served to a short burst."""

from pathlib import Path

import pytest

from tradewind.session import demo
from tradewind.session.demo_serving import Burst
from tradewind.session.report.endpoint.reading import endpoint_data
from tradewind.session.report.reading import report_data

SAID: list[str] = []


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> demo.Shown:
    """A third of the epochs, begun eight minutes later: soon there are revocations. The burst is of four
    seconds, with a promise that is kept on a busy machine, too."""
    changes = {"epochs": 40, "provider.start": "2020-02-01T03:48:00Z"}
    burst = Burst(seconds=4.0, requests=200, slo="p99<5s")
    return demo.run(tmp_path_factory.mktemp("demo"), changes=changes, burst=burst, said=SAID.append)


def test_processes_were_killed_and_not_one_bit_is_other(shown: demo.Shown) -> None:
    assert shown.figures["revocations"] >= 1
    assert shown.figures["bits_equal"] is True
    assert shown.figures["quality"] == shown.figures["quality_undisturbed"] > 0.84


def test_it_cost_less_than_on_demand_and_than_checkpoints(shown: demo.Shown) -> None:
    figures = shown.figures
    assert 0 < figures["cost"] < min(figures["cost_on_demand"], figures["cost_checkpoint"])


def test_every_row_says_how_it_came_about(shown: demo.Shown) -> None:
    rows = {row.name: row.how for row in report_data(Path(shown.directory)).comparison}
    assert rows == {
        "tradewind": "ran for real",
        "undisturbed": "ran for real, in one process",
        "on demand": "simulated",
        "checkpoint and restart": "simulated",
    }


def test_there_is_a_report_and_a_model(shown: demo.Shown) -> None:
    directory = Path(shown.directory)
    assert "<svg" in (directory / "report.html").read_text(encoding="utf-8")
    assert (directory / "model" / "model.safetensors").is_file()


def test_what_it_trained_is_served_and_answers_as_itself(shown: demo.Shown) -> None:
    figures = shown.figures
    assert figures["served_requests"] == figures["served_right"] == 200
    assert figures["served_in_time"] == 1.0 and 0 < figures["served_p99"] < 5
    assert figures["served_replicas"] >= 2 and figures["served_cost"] > 0
    assert figures["served_cost_peak"] > 0
    assert "200 requests of a recorded burst" in SAID[0] and "http://127.0.0.1:" in SAID[0]


def test_the_endpoint_s_journal_tells_what_the_client_saw(shown: demo.Shown) -> None:
    assert shown.served is not None
    data = endpoint_data(shown.served.directory)
    assert data.requests == data.in_time == 200 and data.run.outcome == "ended"
    assert data.run.cost == pytest.approx(shown.figures["served_cost"], abs=1e-4)
    # The server's clock begins when a request is read, the client's when it was due.
    assert data.tail is not None and 0 < data.tail < shown.figures["served_p99"] + 0.1
    assert data.lines >= 15 and sum(each.rate > 0 for each in data.slices) >= 3
    told = dict(data.run.facts)
    assert told["the client saw"].startswith("200 of 200 answered as the model itself answers")
    assert any("1998-07-08T18:46:00Z" in each for each in data.run.simulated)
    assert {each.licence for each in data.run.sources} == {"MIT"}


def test_both_reports_are_there_and_the_first_names_the_second(shown: demo.Shown) -> None:
    assert shown.served is not None
    page = Path(shown.served.directory, "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 4 and "on demand for the peak" in page
    facts = dict(report_data(Path(shown.directory)).facts)
    assert Path(shown.served.directory).name in facts["then served"]
    assert len(report_data(Path(shown.directory)).comparison) == 4
