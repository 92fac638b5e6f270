"""From a spec to candidates: lists, types of a price list, sizes, and what past runs tell of them."""

import pytest

from tradewind.advice.configuration.space import Configuration
from tradewind.advice.measuring.interface import Room
from tradewind.data.catalogs import aws_catalog
from tradewind.errors import Misuse
from tradewind.session.advise_candidates import candidates_of, filled, room_of
from tradewind.session.advise_spec import make_advise_spec


def asked(**fields):
    return candidates_of(make_advise_spec({"command": ["true"], **fields}))


def test_sizes_are_every_combination_at_its_price():
    sizes = {
        "vcpus": [1, 2],
        "memory_gib": [4],
        "machines": [1, 3],
        "per_vcpu_hour": 0.04,
        "per_gib_hour": 0.01,
    }
    found = asked(sizes=sizes).configurations
    assert [each.name for each in found] == ["1x1cpu-4gib", "1x2cpu-4gib", "3x1cpu-4gib", "3x2cpu-4gib"]
    assert found[3].per_hour == pytest.approx(3 * (2 * 0.04 + 4 * 0.01))
    assert found[3].features == {"machines": 3, "vcpus": 2, "memory_gib": 4}


def test_types_are_priced_by_the_list():
    found = asked(types={"names": ["m4.large", "c4.xlarge"], "counts": [2, 4]})
    assert [each.name for each in found.configurations] == [
        "2xm4.large",
        "4xm4.large",
        "2xc4.xlarge",
        "4xc4.xlarge",
    ]
    price = aws_catalog().listing("m4.large", "us-east-1").per_hour
    assert found.configurations[1].per_hour == pytest.approx(4 * price)
    assert found.types["2xc4.xlarge"] == "c4.xlarge" and found.configurations[0].features["family"] == "m4"
    with pytest.raises(Misuse, match=r"m4\.larg"):
        asked(types={"names": ["m4.larg"]})


def test_a_list_may_tell_more_of_each():
    rows = [
        {"name": name, "per_hour": price, "machines": 2, "features": {"disk": disk}}
        for name, price, disk in (("a", 1.0, "ssd"), ("b", 2.0, "disk"))
    ]
    found = asked(candidates=rows).configurations
    assert found[0] == Configuration("a", 1.0, {"machines": 2, "disk": "ssd"})
    for change, part in (
        ({"per_hour": -1}, "no price"),
        ({"name": "b"}, "twice"),
        ({"features": {}}, "differ"),
    ):
        with pytest.raises(Misuse, match=part):
            asked(candidates=[{**rows[0], **change}, rows[1]])


def test_a_command_is_filled_in_and_its_other_braces_are_left():
    one = Configuration("2xm5", 1.0, {"machines": 2, "vcpus": 0.5, "family": "m5"})
    command = ("run", "-n{machines}", "{vcpus}", '{"a": 1}', "{family}-{name}")
    assert filled(command, one) == ("run", "-n2", "0.5", '{"a": 1}', "m5-2xm5")
    with pytest.raises(Misuse) as told:
        filled(("{machine}",), one)
    assert told.value.field == "command" and "machines" in told.value.fix


def test_all_machines_together_are_the_room():
    assert room_of(Configuration("x", 1.0, {"machines": 3, "vcpus": 2, "memory_gib": 0.5})) == Room(
        6.0, 3 << 29
    )
    assert room_of(Configuration("x", 1.0, {"disk": "ssd"})) == Room(None, None)


def test_past_runs_on_strangers_are_told(tmp_path):
    path = tmp_path / "past.csv"
    path.write_text("workload,program,configuration,per_hour,seconds,status\nw,w,large,1,10,done\n")
    with pytest.raises(Misuse, match="none of its configurations") as told:
        asked(candidates=[{"name": "larg", "per_hour": 1}], runs=str(path))
    assert told.value.source == str(path)
    with pytest.raises(Misuse, match="which workload"):
        candidates_of(make_advise_spec({"runs": str(path)}))
