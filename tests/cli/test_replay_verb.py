"""`tradewind replay` on real decisions: equal ones pass, a changed row or a changed policy fails loudly."""

import json
import sqlite3
from collections import Counter

import msgspec
import pytest

from tradewind import clock
from tradewind.cli.main import main
from tradewind.control.journal import Journal
from tradewind.control.loop import Outcome
from tradewind.control.records import header_for
from tradewind.data.catalogs import aws_catalog
from tradewind.data.recorded_histories import history
from tradewind.market.demands import Demand
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.market.views import View
from tradewind.training.elastic.bidding.cheapest_spot import CheapestSpot
from tradewind.training.elastic.bidding.on_demand import OnDemand
from tradewind.training.view import Goal, Progress, TrainingView

START = clock.moment("2020-01-05T00:00:00Z")
GOAL = Goal(
    Demand(resources=Resources(gpus=1.0), count=2),
    Demand(resources=Resources(vcpus=1.0)),
    deadline=START + 7 * 86400,
)


def write(path, decider, named=None, rows=12):
    """Decide on `rows` recorded moments; the journal's header names `named` as the one who did."""
    recorded = history("aws-2020").select(zones=("us-east-1",))
    market = RecordedMarket(recorded, aws_catalog(), boot=30.0)
    memory = decider.recall()
    reasons = []
    with Journal(path, header_for(named or decider, TrainingView, start=START)) as journal:
        for k in range(rows):
            now = START + 6 * 3600.0 * k
            view = TrainingView(
                View(now, market.offers(now), ()), Progress(100.0 * k, 5000.0, 100.0 * k, 0.01, 60.0), GOAL
            )
            decision, recalled = decider.decide(view, memory)
            journal.record(view, memory, decision, recalled)
            journal.record_outcomes(tuple(Outcome() for _ in decision.actions))
            memory = recalled
            reasons.append(decision.reason)
    return reasons


def ask(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(["replay", *arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.mark.parametrize("policy", [OnDemand, CheapestSpot])
def test_the_same_decisions_again(capsys, tmp_path, policy):
    reasons = write(tmp_path / "journal.sqlite", policy())
    assert Counter(reasons), "the policy did decide"
    code, out, _ = ask(capsys, str(tmp_path))
    assert code == 0 and f"12 decisions of {policy.name}, all the same again" in out
    told = json.loads(ask(capsys, str(tmp_path / "journal.sqlite"), "--json")[1])
    assert told["equal"] and told["decisions"] == 12 and told["digest"] in out


class Former(OnDemand):
    """A version of the policy that asked again later from the second day on."""

    def decide(self, view, memory):
        decision, memory = super().decide(view, memory)
        later = decision.wake_at + (60.0 if view.market.now >= START + 86400 else 0.0)
        return msgspec.structs.replace(decision, wake_at=later), memory


def test_a_policy_that_was_changed_fails_at_the_first_difference(capsys, tmp_path):
    write(tmp_path / "journal.sqlite", Former(), named=OnDemand())
    code, out, err = ask(capsys, str(tmp_path))
    assert code == 1 and not out
    assert "row 4 at 2020-01-06T00:00:00Z" in err and "on_demand" in err and len(err.splitlines()) == 1


def test_an_altered_row_fails(capsys, tmp_path):
    path = tmp_path / "journal.sqlite"
    write(path, OnDemand())
    with sqlite3.connect(path) as database:
        database.execute(
            "UPDATE decisions SET decision = replace(decision, 'workers', 'wrokers') WHERE row = 7"
        )
    database.close()
    code, _, err = ask(capsys, str(path))
    assert code == 1 and "row 7" in err


def test_what_is_no_journal_is_misuse(capsys, tmp_path):
    (tmp_path / "journal.sqlite").write_text("this is text")
    for what in (tmp_path, tmp_path / "absent"):
        code, _, err = ask(capsys, str(what))
        assert code == 2 and "journal" in err
