import msgspec

from tradewind.cli.demo import tell_comparison
from tradewind.session.report.data import ComparisonRow, ReportData


def test_the_policies_beside_each_other(capsys):
    data = ReportData(
        title="demo",
        outcome="done",
        started=0.0,
        ended=1.0,
        cost=1.0,
        quality_name="accuracy",
        comparison=(
            ComparisonRow(
                name="cheapest_spot",
                cost=1.0,
                seconds=5400.0,
                quality=0.85,
                revocations=4,
                how="ran for real",
            ),
            ComparisonRow(name="on_demand", cost=3.25, seconds=4800.0, revocations=0),
        ),
    )
    tell_comparison(data)
    heads, ours, theirs = capsys.readouterr().out.splitlines()
    assert heads.split() == ["policy", "cost", "market", "time", "accuracy", "revocations", "how"]
    assert ours.split() == ["cheapest_spot", "$1.00", "1h30m", "0.8500", "4", "ran", "for", "real"]
    assert theirs.split() == ["on_demand", "$3.25", "1h20m", "0", "simulated"]
    tell_comparison(msgspec.structs.replace(data, comparison=()))
    assert capsys.readouterr().out.splitlines() == ["policy  cost  market time  accuracy  revocations  how"]
