"""The demo, shortened: real revocations, and the run beside the others."""

from pathlib import Path

import pytest

from tradewind.session import demo
from tradewind.session.report.reading import report_data


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> demo.Shown:
    """A third of the epochs, begun eight minutes later: soon there are revocations."""
    changes = {"epochs": 40, "provider.start": "2020-02-01T03:48:00Z"}
    return demo.run(tmp_path_factory.mktemp("demo"), changes=changes)


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
