"""What moto does of EC2, over a real socket: rent, describe, tag, end, dry run.

moto rents `MinCount` instances, whatever `MaxCount` is, and rents again for a client token that it has seen;
both are tested on the stage (`test_aws_faults`).
"""

import asyncio
import base64
import logging

import pytest
from moto.server import ThreadedMotoServer

from tradewind import clock
from tradewind.data.catalogs import aws_catalog
from tradewind.errors import Misuse
from tradewind.market.instances import Pool
from tradewind.market.leases import Ending
from tradewind.market.news import Ended
from tradewind.market.offers import Bid, Terms
from tradewind.providers.aws.client import Ec2
from tradewind.providers.aws.provider import AwsProvider
from tradewind.providers.aws.requests import DRIVER, Request, Settings, create_tags, instances, terminate
from tradewind.providers.aws.sightings import sightings
from tradewind.providers.aws.sweeping import sweep
from tradewind.providers.ledger import Ledger, accounts

REGION = "us-east-1"
POOL = Pool("c5.large", "us-east-1b")


@pytest.fixture(scope="module")
def url():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def ec2(url, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    ec2 = Ec2(REGION, endpoint_url=url)
    yield ec2
    ec2.close()


@pytest.fixture
def provider(make):
    return make()


@pytest.fixture
def make(url, ec2, tmp_path):
    """A function that makes a provider with options."""
    settings = Settings(
        region=REGION,
        types=("c5.large", "c5.xlarge"),
        zones=("us-east-1b",),
        image="ami-12c6146b",
        endpoint_url=url,
        tags={"team": "learning"},
        user_data="#!/bin/sh\necho {run} {take} {region}\n",
    )

    def make(**options):
        return AwsProvider(
            settings,
            aws_catalog(),
            driver=f"moto {tmp_path.name}",
            run="run",
            ledger=Ledger(tmp_path / "leases.jsonl"),
            look_every=0.05,
            settle=0.1,
            **options,
        )

    return make


def play(provider, story):
    async def main():
        async with asyncio.timeout(30):
            await provider.open()
            try:
                return await story()
            finally:
                await provider.close()

    return clock.run(main())


def test_a_life_of_two_leases(provider, ec2, tmp_path):
    async def story():
        offers = await provider.offers()
        assert {offer.pool.zone for offer in offers} == {"us-east-1b"}
        assert {(offer.type.name, offer.terms) for offer in offers} == {
            (type, terms) for type in ("c5.large", "c5.xlarge") for terms in (Terms.ON_DEMAND, Terms.SPOT)
        }
        (bought,) = await provider.take(Bid(POOL, Terms.ON_DEMAND, purpose="state"))
        (spot,) = await provider.take(Bid(POOL, Terms.SPOT, limit=1000.0))
        assert await provider.leases() == (bought, spot)
        assert abs(spot.started - clock.now()) < 30 and spot.instance.address == ""
        seen = {
            each.id: each for each in sightings(await ec2.ask(instances({DRIVER: f"moto {tmp_path.name}"})))
        }
        assert set(seen) == {bought.id, spot.id}
        assert (seen[bought.id].purpose, seen[bought.id].spot, seen[bought.id].run) == ("state", False, "run")
        assert (seen[spot.id].purpose, seen[spot.id].spot, seen[spot.id].zone) == ("work", True, POOL.zone)
        (told,) = (await ec2.ask(instances({"team": "learning", DRIVER: seen[spot.id].driver})))[
            "Reservations"
        ][1:]
        assert told["Instances"][0]["ClientToken"] == seen[spot.id].take
        kept = {}
        for name in ("UserData", "InstanceInitiatedShutdownBehavior"):
            asked = {"InstanceId": bought.id, "Attribute": name[0].lower() + name[1:]}
            kept[name] = (await ec2.ask(Request("DescribeInstanceAttribute", asked)))[name]["Value"]
        script = base64.b64decode(kept["UserData"]).decode()
        assert script == f"#!/bin/sh\necho run {seen[bought.id].take} us-east-1\n"
        assert kept["InstanceInitiatedShutdownBehavior"] == "terminate"
        assert (await provider.owed()) > 0
        await provider.release(bought.id)
        (ended,) = await provider.next_news(clock.now() + 5)
        assert isinstance(ended, Ended) and (ended.lease, ended.ending) == (bought.id, Ending.RELEASED)
        # Somebody ends the other one behind our back: a look tells, and it is no revocation.
        await ec2.ask(terminate([spot.id]))
        (ended,) = await provider.next_news(clock.now() + 20)
        assert isinstance(ended, Ended) and (ended.lease, ended.ending) == (spot.id, Ending.FAILED)
        assert await provider.leases() == ()
        assert {charge.lease for charge in (await provider.invoice()).charges} == {bought.id, spot.id}

    play(provider, story)
    (account,) = accounts(tmp_path / "leases.jsonl")
    assert account.closed and not account.held and not account.unanswered


def test_close_ends_what_is_held(provider, ec2):
    async def story():
        (lease,) = await provider.take(Bid(POOL, Terms.SPOT))
        return lease.id

    lease = play(provider, story)
    (seen,) = sightings(clock.run(ec2.ask(Request("DescribeInstances", {"InstanceIds": [lease]}))))
    assert seen.state == "terminated" and seen.gone and seen.changed is not None


def test_a_dry_run_is_checked_and_rents_nothing(make, ec2, tmp_path):
    provider = make(dry_run=True)

    async def story():
        assert await provider.take(Bid(POOL, Terms.SPOT, 3, limit=5.0)) == ()
        return provider.plan

    (request,) = play(provider, story)
    assert request.operation == "RunInstances"
    assert request.arguments["InstanceMarketOptions"]["SpotOptions"]["MaxPrice"] == "5.0"
    assert request.arguments["MaxCount"] == 3 and "DryRun" not in request.arguments
    assert not sightings(clock.run(ec2.ask(instances({DRIVER: f"moto {tmp_path.name}"}))))


def test_a_watcher_may_tag_and_a_sweep_ends_only_what_has_the_tag(provider, ec2):
    async def story():
        (mine,) = await provider.take(Bid(POOL, Terms.ON_DEMAND))
        (other,) = await provider.take(Bid(POOL, Terms.ON_DEMAND))
        await ec2.ask(
            create_tags(mine.id, {"tradewind:notice": "terminate 2030-01-01T00:02:00Z seen 2030-01-01"})
        )
        await ec2.ask(create_tags(other.id, {"colour": "blue"}))
        would = await sweep(ec2, {"colour": "blue"}, dry_run=True)
        assert [each.id for each in would.found] == [other.id]
        swept = await sweep(ec2, {"colour": "blue"}, every=0.05)
        assert [each.id for each in swept.found] == [other.id] == swept.plan[0].arguments["InstanceIds"]
        states = {each.id: each for each in sightings(await ec2.ask(instances({DRIVER: "*"})))}
        assert states[mine.id].state == "running" and states[other.id].gone
        assert states[mine.id].notice is not None

    play(provider, story)


def test_what_the_region_lacks_is_misuse(url, ec2):
    settings = Settings(region=REGION, types=("c5.large",), image="ami-1", endpoint_url=url)
    for change in ({"types": ("c99.large",)}, {"zones": ("us-east-9z",)}):
        provider = AwsProvider(
            Settings(**{**{f: getattr(settings, f) for f in settings.__struct_fields__}, **change}),
            aws_catalog(),
            driver="d",
        )
        with pytest.raises(Misuse, match=f"{next(iter(change))}: .* is not in us-east-1"):
            clock.run(provider.open())
