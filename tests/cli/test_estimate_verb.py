import json

import pytest

from tradewind.cli.estimate import tell_estimate
from tradewind.cli.main import main
from tradewind.estimates.run_time import Interval
from tradewind.session.estimation import Estimate


@pytest.fixture
def spec(tmp_path):
    """A spec over 400 small rows, and the rows."""
    rows = [f"{'+1' if k % 3 else '-1'} {1 + k % 7}:1 {10 + k % 5}:0.5" for k in range(400)]
    (tmp_path / "rows.libsvm").write_text("\n".join(rows) + "\n")
    path = tmp_path / "rows.toml"
    path.write_text(
        'epochs = 2\nbatch = 20\n[learner]\nkind = "LinearLearner"\nloss = "logistic"\n'
        '[data]\npath = "rows.libsvm"\n[provider]\nkind = "simulated"\n'
    )
    return path


def test_a_table_and_the_plan(capsys):
    told = Estimate(
        seconds=Interval(3600.0, 5400.0, 7200.0),
        cost=Interval(0.5, 1.0, 1.5),
        on_demand_cost=Interval(2.0, 3.0, 4.0),
        rows_per_second=Interval(90_000.0, 100_000.0, 110_000.0),
        plan="4 x p2.xlarge@us-east-1a spot at 0.2700 USD an hour",
    )
    tell_estimate(told)
    out = capsys.readouterr().out
    for part in ("1h30m", "$0.50", "$1.50", "$3.00", "100,000", "4 x p2.xlarge@us-east-1a spot"):
        assert part in out, part


def test_a_spec_is_estimated_and_nothing_is_left(capsys, spec, monkeypatch):
    monkeypatch.chdir(spec.parent)
    before = sorted(each.name for each in spec.parent.iterdir())
    code = main(["estimate", str(spec), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert code == 0, told
    for name in ("seconds", "cost"):
        assert 0 < told[name]["low"] <= told[name]["expected"] <= told[name]["high"]
    assert "p2.xlarge" in told["plan"] or "@" in told["plan"]
    assert sorted(each.name for each in spec.parent.iterdir()) == before


def test_misuse(capsys, spec):
    assert main(["estimate", str(spec), "--set", "epoch=2"]) == 2
    assert "Did you mean 'epochs'?" in capsys.readouterr().err
    assert main(["estimate", str(spec), "--policy", "on_demnad"]) == 2
    assert "'on_demand'" in capsys.readouterr().err
