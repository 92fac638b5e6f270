"""An endpoint on leases of this machine: whatever is killed or taken back, no caller notices."""

from pathlib import Path

import real_runs
import serving_runs

from tradewind import clock
from tradewind.control.journal import Journal
from tradewind.market.leases import Ending
from tradewind.market.news import Ended

SPEED = 60.0


def write_alternating(path: Path) -> None:
    """Prices of p2.xlarge in two zones, cheap but for two minutes in eight, when all of the zone is taken
    back; never in both at once. So somewhere there is spot whenever the endpoint gets to want it."""
    lines = ["zone,instance_type,time,price"]
    for zone, first in (("us-east-1a", 360), ("us-east-1b", 600)):
        prices = [(0, 0.3), (86_400, 0.3)]
        for at in range(first, 14_400, 480):
            prices += [(at, 2.0), (at + 120, 0.3)]
        lines += [
            f"{zone},p2.xlarge,{clock.iso(real_runs.START + at)},{price}" for at, price in sorted(prices)
        ]
    path.write_text("\n".join(lines) + "\n")


def test_kills_and_revocations_fail_no_request(tmp_path, monkeypatch) -> None:
    model = serving_runs.write_model(tmp_path, monkeypatch)
    write_alternating(tmp_path / "prices.csv")
    renting = {
        "provider": {
            "kind": "local", "history": str(tmp_path / "prices.csv"), "speed": SPEED, "boot": 5, "notice": 60
        },
        "policy": "spothedge",
        "least": 2,
        "interval": 30.0,
        "instance_types": ["p2.xlarge"],
    }  # fmt: skip

    def mishaps(run, answers) -> None:
        serving_runs.until(lambda: len(serving_runs.replicas(run)) == 2)
        serving_runs.more(answers)
        task, pid = sorted(serving_runs.replicas(run).items())[0]
        serving_runs.kill(pid)
        serving_runs.until(lambda: len(serving_runs.replicas(run).keys() - {task}) == 2)
        serving_runs.more(answers)
        _, pid = sorted(serving_runs.replicas(run).items())[0]
        serving_runs.kill(pid, group=True)
        serving_runs.until(lambda: Ending.FAILED in endings(run))
        serving_runs.until(lambda: Ending.REVOKED in endings(run))
        serving_runs.until(lambda: len(serving_runs.replicas(run)) >= 2)
        serving_runs.more(answers)

    def endings(run) -> list[Ending]:
        with Journal.read(run / "journal.sqlite") as journal:
            return [each.ending for _, each in journal.news() if isinstance(each, Ended)]

    served, answers = serving_runs.serve_through(tmp_path, model, renting, mishaps)
    result = served.result
    assert result.requests == result.in_time == answers and result.refused == 0
    assert result.retried >= 1 and result.revocations >= 1 and result.failures == 1
    assert result.cost > 0 and result.leases >= 4
    assert not real_runs.processes(tmp_path / "runs" / served.directory)
