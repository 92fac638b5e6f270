"""The AWS provider when EC2 refuses, fails, keeps silent or takes back; on the stage of `ec2_stage`."""

import asyncio
import contextlib
import signal
import subprocess
import sys

import msgspec
import pytest

from ec2_stage import Stage
from tradewind import clock
from tradewind.errors import MissingExtra, Misuse, Permanent, Temporary, Unreachable
from tradewind.market.catalog import Catalog, ListPrice
from tradewind.market.decisions import CapacityAbove, PriceAbove
from tradewind.market.histories import CapacityHistory, MarketHistory, PriceHistory
from tradewind.market.instances import InstanceType, Pool
from tradewind.market.leases import Ending
from tradewind.market.news import Crossed, Ended, Warned
from tradewind.market.offers import Bid, Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.providers.aws import provider as module
from tradewind.providers.aws.client import Ec2
from tradewind.providers.aws.metadata import Metadata
from tradewind.providers.aws.provider import AwsProvider
from tradewind.providers.aws.requests import Settings, terminate
from tradewind.providers.aws.watcher import watch
from tradewind.providers.ledger import Ledger, accounts

POOL = Pool("c9.large", "xx-north-1a")
CATALOG = Catalog(
    "faults",
    [
        ListPrice(
            InstanceType("c9.large", Resources(vcpus=2, memory_gib=4)),
            "xx-north-1",
            3.0,
            "2020-01-01",
            "made up",
        )
    ],
)


@pytest.fixture(autouse=True)
def _credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")


def market(*lives, prices=((-9000.0, 1.0),), notice=1.0):
    """From now on: spot at these prices, with slots of these lives, in seconds."""
    start = float(int(clock.wall()))
    history = PriceHistory(
        POOL, [start + at for at, _ in prices], [price for _, price in prices], end=start + 1e6
    )
    slots = [
        (f"{n}", start + begin, start + end) for n, (begin, end) in enumerate(lives or ((-9.0, 9e5),) * 4)
    ]
    capacity = CapacityHistory.from_lifetimes(POOL, slots, start=start - 100, end=start + 1e6)
    return RecordedMarket(
        MarketHistory("faults", {POOL: history}, {POOL: capacity}, notice=notice), CATALOG, boot=0.0
    )


def play(story, *, on=None, notices="tag", patience=1.0, path=None, settings=None, **options):
    """Let `story(provider, stage)` happen; nothing may run afterwards."""

    async def main(stage):
        given = Settings(region="xx-north-1", types=("c9.large",), image="ami-1", endpoint_url=stage.url)
        ec2 = Ec2("xx-north-1", endpoint_url=stage.url, patience=patience)
        options.setdefault("look_every", 0.05)
        provider = AwsProvider(
            settings(given) if settings else given,
            CATALOG,
            driver="faults",
            ledger=None if path is None else Ledger(path),
            ec2=ec2,
            prices_every=0.1,
            settle=0.3,
            **options,
        )
        async with asyncio.timeout(30):
            await provider.open()
            try:
                return await story(provider, stage)
            finally:
                await provider.close()

    with Stage(on or market(), clock.wall, notices=notices) as stage:
        told = clock.run(main(stage))
        assert stage.running() == []
        return told


def rented(stage):
    return [form for action, form in stage.asked if action == "RunInstances" and "DryRun" not in form]


def test_a_repeated_request_rents_once():
    async def story(provider, stage):
        stage.cut("RunInstances", after=True)
        leases = await provider.take(Bid(POOL, Terms.SPOT, 2, limit=1.5))
        assert len(leases) == 2 == len(stage.running())
        first, again = rented(stage)
        assert first == again and first["ClientToken"] == first["TagSpecification.1.Tag.5.Value"]
        assert first["InstanceMarketOptions.SpotOptions.MaxPrice"] == "1.5"
        assert first["MetadataOptions.HttpTokens"] == "required"

    play(story)


def test_what_a_killed_driver_held_is_held_again_under_its_name():
    async def story(provider, stage):
        kept, lost = await provider.take(Bid(POOL, Terms.SPOT, 2))
        settings = Settings(region="xx-north-1", types=("c9.large",), image="ami-1", endpoint_url=stage.url)
        again = AwsProvider(settings, CATALOG, driver="faults", look_every=0.05, settle=0.2)
        await again.open()
        await again._ec2.ask(terminate([lost.id]))
        found = {each.id: each for each in await again.adopt()}
        assert set(found) == {kept.id, lost.id} and found[kept.id].held and not found[lost.id].held
        assert found[kept.id].started == kept.started and found[kept.id].terms is Terms.SPOT
        (ended,) = await again.next_news(clock.now() + 5)
        assert (
            isinstance(ended, Ended) and ended.lease == lost.id and await again.leases() == (found[kept.id],)
        )
        await again.close()
        assert not stage.running() and {each.lease for each in (await again.invoice()).charges} == set(found)
        stranger = AwsProvider(settings, CATALOG, driver="stranger", settle=0.1)
        await stranger.open()
        assert await stranger.adopt() == ()
        await stranger.close()

    play(story)


def test_what_a_request_without_an_answer_rented_is_ended(tmp_path):
    async def story(provider, stage):
        stage.cut("RunInstances", after=True, times=99)
        with pytest.raises(Unreachable):
            await provider.take(Bid(POOL, Terms.SPOT))
        (account,) = accounts(tmp_path / "leases")
        assert [each.pool for each in account.unanswered] == [str(POOL)] and not account.held
        while stage.running():
            await clock.sleep_until(clock.now() + 0.05)
        assert await provider.leases() == () and await provider.next_news(clock.now()) == ()

    play(story, path=tmp_path / "leases")
    assert accounts(tmp_path / "leases")[0].closed


def test_a_cancelled_take_is_not_forgotten():
    async def story(provider, stage):
        stage.refuse("RunInstances", "Unavailable", status=503)
        taking = asyncio.create_task(provider.take(Bid(POOL, Terms.SPOT)))
        await clock.sleep_until(clock.now() + 0.1)
        taking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await taking
        assert stage.running() == []

    play(story)


@pytest.mark.parametrize(
    ("code", "status", "kind", "says"),
    [
        ("MaxSpotInstanceCountExceeded", 400, Temporary, "spot quota"),
        ("VcpuLimitExceeded", 400, Temporary, "vCPU quota"),
        ("UnauthorizedOperation", 403, Misuse, "profile: .* IAM policy"),
        ("ExpiredToken", 400, Misuse, "Renew"),
        ("InvalidKeyPair.NotFound", 400, Misuse, "key: "),
        ("InvalidParameterValue", 400, Misuse, "Mend the settings"),
        ("SomethingNew", 400, Permanent, "SomethingNew"),
    ],
)
def test_a_refusal_says_what_to_do(code, status, kind, says):
    async def story(provider, stage):
        stage.refuse("RunInstances", code, status=status)
        with pytest.raises(kind, match=says) as raised:
            await provider.take(Bid(POOL, Terms.SPOT))
        if "quota" in says:
            assert raised.value.delay == 300.0
        assert len(rented(stage)) == 1, "trying again would give the same answer"
        assert len(await provider.take(Bid(POOL, Terms.SPOT))) == 1

    play(story, patience=2.0)


@pytest.mark.parametrize(("code", "status"), [("RequestLimitExceeded", 503), ("InternalError", 500)])
def test_a_throttled_or_failing_request_is_sent_again(code, status):
    async def story(provider, stage):
        stage.refuse("RunInstances", code, status=status, times=2)
        assert len(await provider.take(Bid(POOL, Terms.SPOT))) == 1
        assert len({form["ClientToken"] for form in rented(stage)}) == 1 and len(rented(stage)) == 3

    play(story, patience=20.0)


def test_a_pool_without_room_grants_none_and_is_offered_again_later(monkeypatch):
    monkeypatch.setattr(module, "REFUSED_FOR", 0.4)

    async def story(provider, stage):
        stage.refuse("RunInstances", "InsufficientInstanceCapacity", status=500)
        assert await provider.take(Bid(POOL, Terms.SPOT)) == ()
        assert {offer.terms for offer in await provider.offers()} == {Terms.ON_DEMAND}
        watch = CapacityAbove(POOL, 0)
        (crossed,) = await provider.next_news(clock.now() + 20, (watch,))
        assert isinstance(crossed, Crossed) and crossed.watch == watch
        assert {offer.terms for offer in await provider.offers()} == {Terms.ON_DEMAND, Terms.SPOT}

    play(story)


def test_looks_that_fail_end_nothing(monkeypatch):
    monkeypatch.setattr(module, "LOST_AFTER", 0.5)

    async def story(provider, stage):
        (lease,) = await provider.take(Bid(POOL, Terms.SPOT))
        stage.refuse("DescribeInstances", "InternalError", status=500, times=12)
        while stage.faults["DescribeInstances"]:
            await clock.sleep_until(clock.now() + 0.05)
        # Nor does an answer that does not show it yet, for less than the stated time.
        stage.hidden = {lease.id}
        assert await provider.next_news(clock.now() + 0.3) == ()
        stage.hidden = set()
        assert await provider.next_news(clock.now() + 0.6) == ()
        assert await provider.leases() == (lease,)
        # For longer, it is lost.
        stage.hidden = {lease.id}
        (ended,) = await provider.next_news(clock.now() + 20)
        assert isinstance(ended, Ended) and ended.ending is Ending.FAILED
        stage.hidden = set()

    play(story)


def test_looks_that_are_refused_for_good_are_told_in_the_end(monkeypatch):
    monkeypatch.setattr(module, "BLIND_AFTER", 0.4)

    async def story(provider, stage):
        (lease,) = await provider.take(Bid(POOL, Terms.SPOT))
        stage.refuse("DescribeInstances", "ExpiredToken", times=2)
        assert await provider.next_news(clock.now() + 0.6) == (), "it passed"
        stage.refuse("DescribeInstances", "ExpiredToken", times=999)
        with pytest.raises(Misuse, match="Renew"):
            await provider.next_news(clock.now() + 20)
        assert await provider.leases() == (lease,)
        stage.faults.clear()

    play(story)


def test_a_past_of_prices_is_read_for_forecasts():
    async def story(provider, stage):
        return provider.history().prices[POOL].prices.tolist()

    on = market(prices=((-90_000.0, 0.5), (-8000.0, 0.7), (-5000.0, 0.9), (-50.0, 1.0)))
    assert play(story, on=on) == [0.9, 1.0]
    assert play(story, on=on, past=6000.0) == [0.7, 0.9, 1.0]
    assert play(story, on=on, past=1e6) == [0.5, 0.7, 0.9, 1.0]


def test_the_spot_request_tells_a_notice_and_an_end():
    async def story(provider, stage):
        (lease,) = await provider.take(Bid(POOL, Terms.SPOT))
        (warned,) = await provider.next_news(clock.now() + 20)
        assert isinstance(warned, Warned)
        told = warned.revocation
        assert lease.started <= told.warned < clock.now() and told.due == told.warned + 120.0
        assert await provider.revocations() == (told,)
        (ended,) = await provider.next_news(clock.now() + 20)
        assert isinstance(ended, Ended) and ended.ending is Ending.REVOKED
        assert ended.at <= clock.now() and await provider.revocations() == ()
        assert await provider.owed() == 0, "EC2 took it back in its first hour"

    play(story, on=market((-9, 2.5), notice=1.0), notices="status")


def test_an_end_without_notice_is_a_revocation_by_its_reason():
    async def story(provider, stage):
        await provider.take(Bid(POOL, Terms.SPOT))
        (ended,) = await provider.next_news(clock.now() + 20)
        assert isinstance(ended, Ended) and ended.ending is Ending.REVOKED

    play(story, on=market((-9, 1.5)), notices="none")


def test_a_release_that_does_not_get_through_is_tried_on(monkeypatch):
    monkeypatch.setattr(module, "_RELEASE_PATIENCE", 0.1)

    async def story(provider, stage):
        (lease,) = await provider.take(Bid(POOL, Terms.ON_DEMAND))
        stage.refuse("TerminateInstances", "Unavailable", status=503, times=3)
        await provider.release(lease.id)
        assert await provider.leases() == (lease,) and stage.running() == [lease.id], "it still costs"
        (ended,) = await provider.next_news(clock.now() + 20)
        assert isinstance(ended, Ended) and ended.ending is Ending.RELEASED and stage.running() == []
        assert await provider.next_news(clock.now() + 0.2) == ()

    play(story)


def test_a_close_that_does_not_get_through_says_so_and_may_be_repeated():
    async def story(provider, stage):
        await provider.take(Bid(POOL, Terms.ON_DEMAND))
        stage.refuse("TerminateInstances", "Unavailable", status=503, times=200)
        with pytest.raises(Temporary, match="tradewind clean"):
            await provider.close()
        stage.faults.clear()

    play(story, patience=0.3)


def test_prices_are_seen_and_watched():
    async def story(provider, stage):
        watch = PriceAbove(POOL, 1.2)
        (crossed,) = await provider.next_news(clock.now() + 20, (watch,))
        assert isinstance(crossed, Crossed) and crossed.watch == watch and crossed.at <= clock.now()
        assert [o.price.per_hour for o in await provider.offers() if o.terms is Terms.SPOT] == [1.5]
        assert await provider.take(Bid(POOL, Terms.SPOT, limit=1.4)) == () and not rented(stage)
        seen = provider.history().prices[POOL]
        assert seen.prices.tolist() == [1.0, 1.5], "from the price in force an hour ago"

    play(story, on=market(prices=((-9000.0, 0.5), (-7200.0, 1.0), (2.0, 1.5))))


def test_settings_are_checked_before_anything_is_rented():
    async def story(provider, stage):
        raise AssertionError("it opened")

    for image, says in (("ami-gone", r"image: .*region"), ("img", "no image")):
        with pytest.raises(Misuse, match=says):
            play(story, settings=lambda given, image=image: msgspec.structs.replace(given, image=image))


def test_without_credentials_or_an_answer(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setattr("tradewind.providers.aws.client._sessions", {})

    async def story(provider, stage):
        raise AssertionError("it opened")

    with pytest.raises(Misuse, match="no AWS credentials"):
        play(story)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setattr("tradewind.providers.aws.client._sessions", {})
    with pytest.raises(Unreachable, match="no answer"):
        clock.run(_ask_nobody())


def test_without_boto3_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(MissingExtra, match=r"tradewind\[aws\]"):
        clock.run(_ask_nobody())


async def _ask_nobody():
    provider = AwsProvider(
        Settings(region="xx-north-1", types=("c9.large",), image="ami-1", endpoint_url="http://127.0.0.1:9"),
        CATALOG,
        driver="faults",
        ec2=Ec2("xx-north-1", endpoint_url="http://127.0.0.1:9", patience=0.3),
    )
    await provider.open()


def test_the_real_ec2_rents_by_the_wall_clock():
    provider = AwsProvider(
        Settings(region="xx-north-1", types=("c9.large",), image="ami-1"), CATALOG, driver="faults"
    )
    with pytest.raises(Misuse, match="wall's clock"):
        clock.run(provider.open(), start=0.0)
    with pytest.raises(Misuse, match="wall's clock"):
        clock.run(provider.open(), speed=60.0)


def test_a_watcher_on_the_instance_passes_a_notice_on(tmp_path):
    async def story(provider, stage):
        (lease,) = await provider.take(Bid(POOL, Terms.SPOT))
        stage.metadata["instance-id"] = lease.id
        watching = asyncio.create_task(
            watch(Metadata(stage.url), Ec2("xx-north-1", endpoint_url=stage.url), every=0.05)
        )
        stage.metadata["events/recommendations/rebalance"] = '{"noticeTime": "2030-01-01T00:00:00Z"}'
        while not provider.hints():
            await clock.sleep_until(clock.now() + 0.05)
        assert provider.hints() == {lease.id: clock.moment("2030-01-01T00:00:00Z")}
        due = float(int(clock.now() + 120))
        stage.interrupt(due)
        (warned,) = await provider.next_news(clock.now() + 20)
        assert isinstance(warned, Warned) and warned.revocation.due == due
        assert abs(warned.revocation.warned - clock.now()) < 20
        await watching

    play(story)


def test_the_watcher_as_a_program_signals_the_group_too():
    work = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        with Stage(market(), clock.wall) as stage:

            async def main():
                settings = Settings(
                    region="xx-north-1", types=("c9.large",), image="ami-1", endpoint_url=stage.url
                )
                provider = AwsProvider(settings, CATALOG, driver="faults", look_every=0.1)
                await provider.open()
                (lease,) = await provider.take(Bid(POOL, Terms.SPOT))
                stage.metadata |= {"instance-id": lease.id, "placement/region": "xx-north-1"}
                stage.interrupt(clock.now() + 120)
                program = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "tradewind.providers.aws.watcher", "--group", str(work.pid)),
                    *("--every", "0.2", "--metadata", stage.url, "--endpoint-url", stage.url),
                )
                (warned,) = await provider.next_news(clock.now() + 30)
                assert isinstance(warned, Warned) and warned.revocation.lease == lease.id
                assert await program.wait() == 0
                await provider.close()

            clock.run(main())
        assert work.wait(10) == -signal.SIGTERM
    finally:
        work.kill()
        work.wait()
