"""Configurations on disk, and how functions are named."""

import pytest

from tradewind.errors import Corrupt
from tradewind.runtimes.functions.host.refusals import ApiRefusal
from tradewind.runtimes.functions.host.shelf import LATEST, Function, Shelf, arn, named


def function(name="score", **fields):
    return Function(name=name, runtime="python3.11", role="r", handler="a.b", package="ab", **fields)


def test_functions_and_versions_are_there_after_a_restart(tmp_path):
    shelf = Shelf(tmp_path)
    shelf.add(function())
    assert [shelf.publish("score").version for _ in range(2)] == ["1", "2"]
    entry = shelf["score"]
    entry.reserved, entry.provisioned["1"] = 3, 2
    shelf.write(entry)
    again = Shelf(tmp_path)
    assert again.entries == shelf.entries and again.packages() == {"ab"}
    assert again["score"].version("2").arn == f"{arn('score')}:2"
    assert again["score"].version("").version == again["score"].version(LATEST).version == LATEST
    again.remove("score", "1")
    assert Shelf(tmp_path)["score"].provisioned == {}
    again.remove("score")
    assert Shelf(tmp_path).entries == {}


def test_what_is_not_there_or_is_there_already(tmp_path):
    shelf = Shelf(tmp_path)
    shelf.add(function())
    for refused in (
        lambda: shelf.add(function()),
        lambda: shelf["rank"],
        lambda: shelf["score"].version("7"),
        lambda: shelf.remove("rank"),
        lambda: shelf.remove("score", "7"),
    ):
        with pytest.raises(ApiRefusal):
            refused()
    (tmp_path / "odd.json").write_text("{")
    with pytest.raises(Corrupt, match=r"odd\.json"):
        Shelf(tmp_path)


def test_names_and_arns():
    assert named("score") == ("score", "") and named("score:live") == ("score", "live")
    assert named("123456789012:function:score") == ("score", "")
    assert named("arn:aws:lambda:us-east-1:123456789012:function:score:$LATEST") == ("score", LATEST)
    for text in ("", "a b", "../score", "x" * 65, "arn:aws:s3:::bucket"):
        with pytest.raises(ApiRefusal):
            named(text)
