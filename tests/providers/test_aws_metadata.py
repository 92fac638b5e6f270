"""The metadata service, version 2, over HTTP: in the shapes of its documentation (see `ec2_stage`)."""

import pytest

from ec2_stage import Stage
from tradewind import clock
from tradewind.errors import Temporary, Unreachable
from tradewind.providers.aws.metadata import Interruption, Metadata
from tradewind.testing.providers import steady


@pytest.fixture
def stage():
    with Stage(steady((0, 86_000)), clock.wall) as stage:
        yield stage


def test_no_notice_is_none_and_a_notice_says_when(stage):
    metadata = Metadata(stage.url)
    assert metadata.interruption() is None and metadata.rebalance() is None
    stage.metadata["spot/instance-action"] = '{"action": "terminate", "time": "2026-09-18T08:22:00Z"}'
    stage.metadata["events/recommendations/rebalance"] = '{"noticeTime": "2026-09-18T08:10:00Z"}'
    stage.metadata["instance-id"], stage.metadata["placement/region"] = "i-1", "xx-north-1"
    assert metadata.interruption() == Interruption("terminate", clock.moment("2026-09-18T08:22:00Z"))
    assert metadata.rebalance() == clock.moment("2026-09-18T08:10:00Z")
    assert (metadata.instance(), metadata.region()) == ("i-1", "xx-north-1")
    assert len(stage.session_tokens) == 1, "one token does for all of it"


def test_a_token_that_ran_out_is_renewed(stage):
    metadata = Metadata(stage.url)
    stage.metadata["instance-id"] = "i-1"
    assert metadata.instance() == "i-1"
    stage.session_tokens = {"another's", "others'"}
    assert metadata.instance() == "i-1"


def test_without_a_token_nothing_is_said(stage, monkeypatch):
    metadata = Metadata(stage.url)
    monkeypatch.setattr(metadata, "_put_token", lambda: "made up")
    with pytest.raises(Temporary, match="refuses"):
        metadata.interruption()


@pytest.mark.parametrize("text", ["terminate", "[]", "{}", '{"action": "terminate", "time": "soon"}'])
def test_what_is_no_notice_is_not_taken_for_none(stage, text):
    stage.metadata["spot/instance-action"] = text
    with pytest.raises(Temporary):
        Metadata(stage.url).interruption()


def test_nobody_there(stage, monkeypatch):
    monkeypatch.setenv("http_proxy", stage.url)  # never the way to a link-local address
    with pytest.raises(Unreachable):
        Metadata("http://127.0.0.1:9").interruption()
    with pytest.raises(Temporary, match="does not know"):
        Metadata(stage.url).instance()
