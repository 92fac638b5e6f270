import csv
import gzip
import json
from importlib.resources import files

import pytest

from tradewind import clock
from tradewind.cli.main import main
from tradewind.data.catalogs import aws_catalog

AT = "2020-01-15T00:00:00Z"


def ask(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(["prices", *arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


def recorded_price(instance_type: str, zone: str, at: float) -> float:
    """The last price at or before `at`, read from the shipped file with the standard library alone."""
    path = files("tradewind.data").joinpath("samples", "spot-prices-2019-2020.csv.gz")
    with path.open("rb") as packed, gzip.open(packed, "rt") as file:
        rows = [
            (clock.moment(row["time"]), float(row["price"]))
            for row in csv.DictReader(file)
            if (row["instance_type"], row["zone"]) == (instance_type, zone)
        ]
    return max(row for row in rows if row[0] <= at)[1]


def test_the_cheapest_v100_at_a_recorded_moment(capsys):
    code, out, _ = ask(
        capsys, "--gpus", "1", "--gpu-kind", "V100", "--region", "us-east-1", "--at", AT, "--json"
    )
    told = json.loads(out)
    assert code == 0 and told["at"] == AT and told["history"] == "aws-2020"
    offers = told["offers"]
    assert [each["per_hour"] for each in offers] == sorted(each["per_hour"] for each in offers)
    assert all(each["gpus"] >= 1 and each["gpu_kind"] == "V100" for each in offers)
    assert all(each["zone"].startswith("us-east-1") for each in offers)
    spot = [each for each in offers if each["terms"] == "spot"]
    assert len(spot) >= 3 and {each["terms"] for each in offers} == {"spot", "on_demand"}
    for each in spot:
        asked = aws_catalog().on_demand(each["instance_type"], "us-east-1")
        price = recorded_price(each["instance_type"], each["zone"], clock.moment(AT))
        assert each["per_hour"] == price
        assert each["on_demand"] == asked and each["saving"] == pytest.approx(1 - price / asked)


def test_the_table_is_plain_text_off_a_terminal(capsys):
    code, out, _ = ask(capsys, "--vcpus", "8", "--region", "us-east-1", "--top", "3")
    lines = out.splitlines()
    assert code == 0 and lines[0].startswith("at least 8 vCPUs in aws-2020, recorded 20")
    assert lines[1].split()[:4] == ["type", "zone", "terms", "$/hour"]
    assert len([line for line in lines if "us-east-1" in line]) == 3
    assert "\x1b" not in out and "list prices as of 20" in out and "dearer offers" in out


def test_the_plot(capsys, tmp_path):
    path = tmp_path / "prices.svg"
    code, out, _ = ask(capsys, "--gpus", "1", "--region", "us-east-1", "--at", AT, "--plot", str(path))
    text = path.read_text()
    assert code == 0 and str(path) in out
    assert "p2.xlarge@us-east-1" in text and "US dollars an hour" in text


def test_a_file_of_the_users_own(capsys, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(
        "zone,instance_type,time,price\n"
        "us-east-1a,p3.2xlarge,2020-02-01T00:00:00Z,0.9\n"
        "us-east-1a,p3.2xlarge,2020-02-02T00:00:00Z,1.1\n"
    )
    code, out, _ = ask(capsys, "--history", str(path), "--gpus", "1", "--at", "2020-02-01T12:00", "--json")
    spot = [each for each in json.loads(out)["offers"] if each["terms"] == "spot"]
    assert code == 0 and [each["per_hour"] for each in spot] == [0.9]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--at", "yesterday"), "--at"),
        (("--at", "2001-01-01"), "was not recorded"),
        (("--region", "us-esat-1"), "us-east-1"),
        (("--history", "aws-2002"), "aws-2020"),
        (("--history", "/absent/file.csv"), "/absent/file.csv"),
        (("--span", "long"), "--span"),
        (("--gpus", "1", "--plot", "picture.bmp"), ".svg or .png"),
        (("--vcpus", "-1"), "--vcpus"),
    ],
)
def test_misuse(capsys, arguments, words):
    code, out, err = ask(capsys, *arguments)
    assert code == 2 and words in err and not out


def test_nothing_fits(capsys):
    code, _, err = ask(capsys, "--vcpus", "100000")
    assert code == 1 and "at least 100000 vCPUs" in err
