import json

import click
import pytest

from tradewind.cli import spec_options, terminal
from tradewind.cli.spec_options import FIELDS, spec_given, tell_end
from tradewind.errors import Misuse
from tradewind.session.spec_documents import schema
from tradewind.session.stretch import Trained


@pytest.fixture
def given(tmp_path):
    """A function from command-line words to the spec that they make of a small file."""
    path = tmp_path / "adult.toml"
    path.write_text('budget = 2\n[learner]\nkind = "LinearLearner"\n[data]\npath = "adult.libsvm"\n')

    @terminal.verb("tradewind test adult.toml")
    @spec_options.spec_options
    def command(*, spec, sets, as_json, **options):
        return spec_given(spec, sets, options)

    return lambda *words: command.main([str(path), *words], standalone_mode=False)


def test_every_option_sets_its_field(given):
    words = {
        "deadline": ("2h", lambda spec: spec.deadline == 7200),
        "budget": ("5.5", lambda spec: spec.budget == 5.5),
        "policy": ("on_demand", lambda spec: spec.policy.name == "on_demand"),
        "workers": ("3", lambda spec: spec.workers.count == 3),
        "seed": ("9", lambda spec: spec.seed == 9),
        "provider": ("simulated", lambda spec: spec.provider.kind == "simulated"),
        "history": ("aws-2020", lambda spec: spec.provider.history == "aws-2020"),
        "speed": ("30", lambda spec: spec.provider.speed == 30),
    }
    assert set(words) == set(FIELDS)
    for name, (value, holds) in words.items():
        assert holds(given(f"--{name}", value)), name
        assert not holds(given()), f"{name} was set already"
    everything = given(*(part for name, (value, _) in words.items() for part in (f"--{name}", value)))
    assert all(holds(everything) for _, holds in words.values())


def test_options_name_fields_that_exist():
    for field, _, _ in FIELDS.values():
        fragment = schema()
        for part in field.split("."):
            fragment = fragment["properties"][part]


def test_set_reaches_every_field_and_the_option_wins(given):
    spec = given("--set", "learner.loss=hinge", "--set", "workers.zones=['us-east-1a']", "--set", "seed=4")
    assert spec.learner.arguments == {"loss": "hinge"} and spec.workers.zones == ("us-east-1a",)
    assert spec.seed == 4 and given("--set", "seed=4", "--seed", "5").seed == 5
    assert given().budget == 2.0


def test_misuse(given, tmp_path):
    with pytest.raises(Misuse, match="'deadline'"):
        given("--set", "dedline=2h")
    with pytest.raises(click.UsageError):
        given("--workers", "many")
    with pytest.raises(Misuse, match="absent"):
        spec_given(tmp_path / "absent.toml", (), dict.fromkeys(FIELDS))


def ended(folder, **changes) -> Trained:
    told = dict(
        directory=str(folder),
        outcome="done",
        cost=0.57,
        cost_on_demand=1.5,
        seconds=7200.0,
        revocations=1,
        estimate=None,
        quality=0.85,
        metric="accuracy",
    )
    return Trained(**{**told, **changes})


def test_the_end_of_a_run_is_told_with_its_exit_code(tmp_path, write_run, capsys):
    write_run(tmp_path / "journal.sqlite")
    (tmp_path / "report.html").write_text("x")
    assert tell_end(ended(tmp_path), as_json=False) == 0
    out = capsys.readouterr().out
    for part in ("done", "$0.57 in 2h", "1 revocations", "$1.50", "accuracy 0.8500", "inside the estimate"):
        assert part in out, part
    assert str(tmp_path / "report.html") in out and "resume" not in out
    assert tell_end(ended(tmp_path), as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["outcome"] == "done" and told["cost"] == 0.57 and told["revocations"] == 1
    assert told["estimates"][0]["actual"] == 0.57


def test_a_run_that_is_not_done_says_how_to_go_on(tmp_path, write_run, capsys):
    write_run(tmp_path / "journal.sqlite", finished=False)
    assert tell_end(ended(tmp_path, outcome="paused", quality=None), as_json=False) == 1
    assert f"tradewind resume {tmp_path}" in capsys.readouterr().out


def test_a_run_that_rented_nothing_has_no_money_to_tell(tmp_path, capsys):
    assert tell_end(ended(tmp_path, cost=0.0, cost_on_demand=0.0), as_json=False) == 0
    out = capsys.readouterr().out
    assert "$" not in out and "accuracy 0.8500" in out
