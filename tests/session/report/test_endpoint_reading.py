"""What an endpoint's journal tells: counts, quantiles, the peak, and what is left where it was killed."""

from __future__ import annotations

import pytest

from small_endpoint import BILL, CHARGES, START, write_endpoint
from tradewind.errors import Misuse
from tradewind.serving.provisioning.course import FunctionTariff
from tradewind.session.report.endpoint.data import Functions, Peak
from tradewind.session.report.endpoint.reading import endpoint_data, is_endpoint


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """An endpoint that ended well."""
    found = tmp_path_factory.mktemp("endpoint") / "journal.sqlite"
    write_endpoint(found)
    return found


def test_what_became_of_the_requests(path) -> None:
    data = endpoint_data(path.parent)
    assert is_endpoint(path)
    assert (data.requests, data.in_time, data.late, data.refused, data.retried) == (1110, 1100, 6, 4, 2)
    assert data.share == pytest.approx(1100 / 1110) and data.kept
    # Of 1,106 answers 990 took up to 10 ms, 110 up to 50, six up to 100.
    assert data.median == pytest.approx(0.01 * 553 / 990)
    assert data.tail == pytest.approx(0.01 + 0.04 * (0.99 * 1106 - 990) / 110)
    assert data.most_up == 2 and data.kinds == ("p2.xlarge spot",)
    assert data.lines == 181 and data.speed == 60.0


def test_the_run_behind_it(path) -> None:
    run = endpoint_data(path).run
    assert (run.outcome, run.reason, run.cost, run.revocations) == ("ended", "it was asked to stop", BILL, 1)
    assert (run.started, run.ended, run.wall_seconds) == (START, START + 1800.0, 30.0)
    assert [bar.ending for bar in run.leases] == ["released", "revoked"]
    assert run.leases[1].warned == START + 1380.0
    assert [row.reason for row in run.decisions] == [f"a <reason> at {at}" for at in (0, 600, 1700)]


def test_slices_are_long_enough_to_tell_a_hundredth(path) -> None:
    data = endpoint_data(path)
    assert 25 <= len(data.slices) <= 45
    assert data.slices[0].began == START and data.slices[-1].ended == START + 1800.0
    assert all(one.ended == other.began for one, other in zip(data.slices, data.slices[1:], strict=False))
    early = [each for each in data.slices if each.ended <= START + 1500]
    # 600 requests in 1,500 seconds of the market, which are 25 of the wall.
    assert all(each.rate == pytest.approx(24.0, rel=0.1) and not each.missed for each in early)
    late = [each for each in data.slices if each.began >= START + 1520]
    assert all(each.rate == pytest.approx(100.0, rel=0.15) for each in late)
    assert sum(each.missed for each in data.slices) == 10
    assert all(each.tail is not None and 0.01 < each.tail <= 0.05 for each in early)


def test_the_peak_on_demand_is_for_the_busiest_five_minutes(path) -> None:
    """510 requests in the last 300 seconds of the market, 5 of the wall's: six machines for 20 each."""
    peak = endpoint_data(path).peak
    assert peak == Peak("p2.xlarge", 6, 0.9, pytest.approx(102.0), pytest.approx(6 * 0.9 / 2))


def test_of_one_that_was_killed_all_that_was_written_is_told(tmp_path) -> None:
    write_endpoint(tmp_path / "journal.sqlite", killed=True)
    data = endpoint_data(tmp_path)
    assert data.run.outcome == "running" and "killed" in data.run.reason
    assert data.run.cost == 0.18 and data.requests == 1110 and data.run.ended == START + 1800.0


def test_one_that_never_began(tmp_path) -> None:
    write_endpoint(tmp_path / "journal.sqlite", empty=True)
    data = endpoint_data(tmp_path)
    assert (data.requests, data.slices, data.peak, data.tail, data.share) == (0, (), None, None, 1.0)


def test_the_journal_of_a_run_is_none(tmp_path, write_run) -> None:
    write_run(tmp_path / "journal.sqlite")
    assert not is_endpoint(tmp_path / "journal.sqlite")
    with pytest.raises(Misuse, match="Report it as a run"):
        endpoint_data(tmp_path)


@pytest.mark.parametrize("killed", [False, True])
def test_charges_of_functions_are_added_up(tmp_path, killed) -> None:
    write_endpoint(tmp_path / "journal.sqlite", functions=True, killed=killed)
    data = endpoint_data(tmp_path)
    tariff = FunctionTariff(0.001, 0.0000166667, 0.0000002)
    assert data.functions == Functions(50.0, 54.0, 25.0, sum(CHARGES), tariff) and data.overflowed == 50.0
    assert data.spent_on_functions[-1] == (START + 1800.0, float(sum(CHARGES)))


def test_without_functions_none_are_told(path) -> None:
    data = endpoint_data(path)
    assert data.functions is None and {dollars for _, dollars in data.spent_on_functions} == {0.0}
