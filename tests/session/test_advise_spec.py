"""Questions: every field from file, call and command line, and a clear word for whatever is wrong."""

import sys

import pytest

from tradewind.errors import Misuse
from tradewind.session.advise_spec import make_advise_spec, read_advise_spec

GIVEN = f"""
command = [{sys.executable!r}, "job.py"]
current = "small"
budget = 0.5
time_limit = "10m"
runs = "past.csv"
advisor = {{name = "cherrypick", least = 6}}
[objective]
minimize = "run_time"
deadline = "1h30m"
[[candidates]]
name = "small"
per_hour = 0.1
vcpus = 2
features = {{disk = "ssd", disks = 2}}
"""


def test_a_file_says_everything(tmp_path):
    (tmp_path / "big job.toml").write_text(GIVEN)
    spec = read_advise_spec(tmp_path / "big job.toml", {"budget": 2, "objective.deadline": "60s"})
    assert spec.name == "big-job" and spec.own == "big-job" and spec.folder == str(tmp_path)
    assert (spec.budget, spec.time_limit, spec.objective.deadline) == (2.0, 600.0, 60.0)
    assert spec.objective.minimize == "run_time" and spec.runs == str(tmp_path / "past.csv")
    assert (spec.advisor.name, spec.advisor.options) == ("cherrypick", {"least": 6})
    assert spec.candidates is not None and spec.candidates[0].features == {"disk": "ssd", "disks": 2}
    assert spec.advisor == make_advise_spec(
        {"command": ["true"], "sizes": {"vcpus": [1], "per_vcpu_hour": 1},
         "advisor": {"name": "cherrypick", "least": 6}}
    ).advisor  # fmt: skip


SIZES = {"vcpus": [1], "per_vcpu_hour": 0.04}
AWS = {"kind": "aws", "image": "ami-1", "store": "s3://bucket/probes"}
ENOUGH = {"budget": 1, "time_limit": 60}


@pytest.mark.parametrize(
    ("change", "field", "part"),
    [
        ({"comand": ["x"]}, "comand", "command"),
        ({"command": []}, "command", "program"),
        ({"command": "python job.py"}, "command", "list"),
        ({"command": ["no-such-program-here"]}, "command", "PATH"),
        ({"command": None}, "command", "past runs"),
        ({"sizes": None}, "candidates", "choose from"),
        ({"sizes": {"vcpus": [0], "per_vcpu_hour": 1}}, "sizes.vcpus.0", "above 0"),
        ({"sizes": {"vcpus": [1]}}, "sizes.per_vcpu_hour", "missing"),
        ({"candidates": [{"name": "a", "per_hour": 1}]}, "sizes", "Leave one"),
        ({"candidates": [{"name": "a"}], "sizes": None}, "candidates.0.per_hour", "missing"),
        ({"objective": {"minimize": "money"}}, "objective.minimize", "cost"),
        ({"objective": {"deadline": "soon"}}, "objective.deadline", "90s"),
        ({"objective": {"deadline": -1}}, "objective.deadline", "above 0"),
        ({"time_limit": "-5s"}, "time_limit", "duration"),
        ({"budget": 0}, "budget", "above 0"),
        ({"budget": float("nan")}, "budget", "finite"),
        ({"probes": 0}, "probes", "at least 1"),
        ({"recurrences": -1}, "recurrences", "at least 0"),
        ({"advisor": "cherrypik"}, "advisor", "cherrypick"),
        ({"advisor": {"name": "cherrypick", "leest": 3}}, "advisor.leest", "least"),
        ({"measure": "lokal"}, "measure.kind", "local"),
        ({"measure": "aws"}, "measure.image", "ami-"),
        ({"measure": {**AWS, "image": "latest"}}, "measure.image", "image"),
        ({"measure": {**AWS, "store": "s3:///x"}, **ENOUGH}, "measure.store", "bucket"),
        ({"measure": {**AWS, "terms": "reserved"}, **ENOUGH}, "measure.terms", "spot"),
        ({"measure": {**AWS, "boot_limit": "soon"}, **ENOUGH}, "measure.boot_limit", "90s"),
        ({"measure": AWS, "budget": 1}, "time_limit", "cost money"),
        ({"measure": AWS, "time_limit": 60}, "budget", "dollars"),
        ({"measure": AWS, **ENOUGH}, "candidates", "instance type"),
        (
            {"measure": AWS, **ENOUGH, "sizes": None, "types": {"names": ["c5.large"], "counts": [1, 2]}},
            "types.counts",
            "one machine",
        ),
        (
            {
                "measure": {**AWS, "region": "eu-west-1"},
                **ENOUGH,
                "sizes": None,
                "types": {"names": ["c5.large"]},
            },
            "measure.region",
            "us-east-1",
        ),
        ({"name": "a/b"}, "name", "letters"),
        ({"folder": "/no/such/folder"}, "folder", "folder"),
        ({"environment": {"A": 1}}, "environment.A", "text"),
    ],
)
def test_what_is_wrong_is_named_with_its_field_and_the_fix(change, field, part):
    given = {"command": ["true"], "sizes": SIZES, **change}
    with pytest.raises(Misuse) as told:
        make_advise_spec(given, source="job.toml")
    assert told.value.field == field and part in str(told.value) and told.value.source == "job.toml"
    assert told.value.fix


def test_a_search_at_aws_says_where_and_how_long(tmp_path):
    (tmp_path / "job.toml").write_text(
        'command = ["true"]\nbudget = 1\ntime_limit = "2m"\n[types]\nnames = ["c5.large"]\n'
        '[measure]\nkind = "aws"\nimage = "ami-1"\nstore = "s3://bucket/probes"\nterms = "spot"\n'
        'boot_limit = "90s"\nsubnets = {us-east-1b = "subnet-1"}\n'
    )
    measure = read_advise_spec(tmp_path / "job.toml", {"measure.zones": ["us-east-1b"]}).measure
    assert (measure.terms, measure.boot_limit, measure.zones) == ("spot", 90.0, ("us-east-1b",))
    assert (
        measure.region is None and measure.subnets == {"us-east-1b": "subnet-1"} and ".git" in measure.leave
    )


def test_what_the_command_line_got_wrong_is_told_as_its_own():
    with pytest.raises(Misuse) as told:
        make_advise_spec({"command": ["true"], "sizes": SIZES}, source="job.toml", overrides={"budget": -1})
    assert told.value.source == "the command line"


def test_an_absent_file_is_told(tmp_path):
    with pytest.raises(Misuse, match=r"absent\.toml"):
        read_advise_spec(tmp_path / "absent.toml")
