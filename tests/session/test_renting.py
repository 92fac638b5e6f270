import asyncio

import pytest

from ec2_stage import Stage
from tradewind import clock
from tradewind.errors import Misuse
from tradewind.market.offers import Bid, Terms
from tradewind.providers.ledger import LEDGER, accounts
from tradewind.session.cleaning import clean_runs, lives
from tradewind.session.renting import aws
from tradewind.testing.providers import A, steady

PRICES = (
    "type,vcpus,memory_gib,gpus,gpu_kind,burst_credits_per_hour,bandwidth_gbps,region,price,as_of,source\n"
)


@pytest.fixture
def given(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    (tmp_path / "prices.csv").write_text(PRICES + "c9.large,2,4,0,,0,0,xx-north-1,3.0,2020-01-01,made up\n")
    return {
        "types": ["c9.large"],
        "image": "ami-1",
        "out": tmp_path / "runs",
        "prices": tmp_path / "prices.csv",
    }


def play(market_now, given, story, **options):
    with Stage(steady((0, 86_000), (0, 86_000)), lambda: market_now + clock.wall()) as stage:

        async def main():
            provider = aws("xx-north-1", endpoint_url=stage.url, **given, **options)
            async with asyncio.timeout(30):
                await provider.open()
                try:
                    return await story(provider, stage)
                finally:
                    await provider.close()

        return clock.run(main())


@pytest.fixture
def offset():
    """From the wall's clock into the first hour of the recorded market."""
    return clock.moment("2020-01-01T00:10:00Z") - clock.wall()


def test_what_is_rented_is_noted_where_clean_looks(given, offset):
    async def story(provider, stage):
        leases = await provider.take(Bid(A, Terms.SPOT, 2))
        assert [each.id for each in leases] == stage.running()
        (folder,) = given["out"].iterdir()
        (account,) = accounts(folder / LEDGER)
        assert account.held == tuple(each.id for each in leases) and lives(account.opened.driver)
        assert {form["TagSpecification.1.Tag.4.Value"] for _, form in stage.asked if "MaxCount" in form} == {
            folder.name
        }
        told = clean_runs(given["out"])
        assert [each.driver for each in told.left] == [folder.name] and not told.ended, "this process lives"
        assert len(stage.running()) == 2

    play(offset, given, story)
    (folder,) = given["out"].iterdir()
    assert accounts(folder / LEDGER)[0].closed and not clean_runs(given["out"]).left


def test_a_dry_run_leaves_a_plan_and_nothing_else(given, offset):
    async def story(provider, stage):
        assert await provider.take(Bid(A, Terms.SPOT, 2, limit=2.0)) == ()
        assert stage.running() == [] and not given["out"].exists()
        return provider.plan

    (request,) = play(offset, given, story, dry_run=True)
    assert (request.operation, request.arguments["MaxCount"]) == ("RunInstances", 2)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"subnet": "s"}, "subnet.*subnets"),
        ({"boot": "soon"}, "boot"),
        ({"types": ["c8.large"]}, "c9.large"),
        ({"image": "debian"}, "image"),
    ],
)
def test_misuse_makes_no_folder(given, change, says):
    with pytest.raises(Misuse, match=says):
        aws("xx-north-1", **{**given, **change})
    assert not given["out"].exists()
