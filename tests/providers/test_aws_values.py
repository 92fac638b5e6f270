"""Requests, refusals and answers of EC2 as values: nothing is sent."""

import math

import pytest
from msgspec.structs import replace

from tradewind import clock
from tradewind.errors import Misuse, NoCapacity, Permanent, Temporary, Unreachable
from tradewind.market.catalog import Catalog, ListPrice
from tradewind.market.decisions import PriceBelow
from tradewind.market.instances import Instance, InstanceType, Pool
from tradewind.market.leases import Ending, Lease
from tradewind.market.offers import Bid, Terms
from tradewind.market.resources import Resources
from tradewind.providers.aws import requests
from tradewind.providers.aws.refusals import translated
from tradewind.providers.aws.requests import Request, Settings
from tradewind.providers.aws.seen_market import PriceChange, SeenMarket
from tradewind.providers.aws.sightings import noticed, sightings, standings

POOL, OTHER = Pool("c9.large", "xx-north-1a"), Pool("c9.large", "xx-north-1b")
KIND = InstanceType("c9.large", Resources(vcpus=2, memory_gib=4))
CATALOG = Catalog("values", [ListPrice(KIND, "xx-north-1", 3.0, "2020-01-01", "made up")])
SETTINGS = Settings(region="xx-north-1", types=("c9.large",), image="ami-1")
NOW = clock.moment("2026-01-01T00:00:00Z")


def rent(settings=SETTINGS, **bid):
    whole = Bid(POOL, **{"terms": Terms.SPOT, **bid})
    return requests.run_instances(settings, whole, take="t", driver="d", run="r").arguments


def test_a_request_for_spot_and_one_on_demand():
    spot, bought = rent(limit=0.1, count=3), rent(terms=Terms.ON_DEMAND, purpose="state")
    assert spot["InstanceMarketOptions"] == {
        "MarketType": "spot",
        "SpotOptions": {
            "SpotInstanceType": "one-time",
            "InstanceInterruptionBehavior": "terminate",
            "MaxPrice": "0.1",
        },
    }
    assert (spot["MinCount"], spot["MaxCount"], spot["ClientToken"]) == (1, 3, "t")
    assert "InstanceMarketOptions" not in bought and "MaxPrice" not in str(rent())
    tags = {each["Key"]: each["Value"] for each in bought["TagSpecifications"][0]["Tags"]}
    assert tags == {
        "Name": "tradewind r state",
        "tradewind:driver": "d",
        "tradewind:purpose": "state",
        "tradewind:run": "r",
        "tradewind:take": "t",
    }
    assert rent(limit=1e-05)["InstanceMarketOptions"]["SpotOptions"]["MaxPrice"] == "0.00001"


def test_settings_become_arguments():
    settings = replace(
        SETTINGS,
        subnets={POOL.zone: "subnet-1"},
        security_groups=("sg-1",),
        key="me",
        instance_profile="role",
        user_data="#!/bin/sh\necho {run} {take} {region} {{}}",
        tags={"team": "x"},
    )
    told = rent(settings)
    assert told["SubnetId"] == "subnet-1" and told["SecurityGroupIds"] == ["sg-1"] and told["KeyName"] == "me"
    assert told["IamInstanceProfile"] == {"Name": "role"}
    assert told["UserData"] == "#!/bin/sh\necho r t xx-north-1 {}"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"region": ""}, "region"),
        ({"types": ()}, "types"),
        ({"image": "debian"}, "image.*no image"),
        ({"tags": {"tradewind:run": "x"}}, "tags.*reserved"),
        ({"tags": {"x": "y" * 257}}, "tags.*long"),
        ({"user_data": "echo {nobody}"}, "user_data.*placeholder"),
        ({"user_data": "x" * 20_000}, "user_data.*16 KiB"),
        ({"zones": ("xx-north-1b",), "subnets": {"xx-north-1a": "s"}}, "subnets"),
    ],
)
def test_bad_settings(change, says):
    with pytest.raises(Misuse, match=says):
        requests.check(replace(SETTINGS, **change))


def test_a_dry_run_is_the_same_request_with_a_mark():
    request = requests.terminate(["i-2", "i-1"])
    assert request.dry() == Request("TerminateInstances", {"InstanceIds": ["i-1", "i-2"], "DryRun": True})
    assert request.changes and not requests.offerings(SETTINGS).changes
    with pytest.raises(Misuse):
        requests.offerings(SETTINGS).dry()


class ClientError(Exception):
    def __init__(self, code, status=400):
        self.response = {
            "Error": {"Code": code, "Message": "So it is."},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }


class HTTPClientError(Exception):
    response = None


class ReadTimeoutError(HTTPClientError):
    pass


class ResponseParserError(Exception):
    pass


@pytest.mark.parametrize(
    ("problem", "kind", "says"),
    [
        (ClientError("RequestLimitExceeded", 503), Temporary, "too many requests"),
        (ClientError("InsufficientInstanceCapacity", 500), NoCapacity, "So it is"),
        (ClientError("SpotMaxPriceTooLow"), NoCapacity, "So it is"),
        (ClientError("WhoKnows", 502), Temporary, "EC2 failed"),
        (ClientError("InvalidInstanceID.NotFound"), Temporary, "NotFound"),
        (
            ClientError("InvalidAMIID.NotFound"),
            Misuse,
            "image: So it is .*Give an image",
        ),
        (ClientError("InvalidWhatever"), Misuse, "Mend the settings"),
        (ClientError("WhoKnows", 403), Permanent, "WhoKnows"),
        (ReadTimeoutError("slow"), Unreachable, "no answer"),
        (ResponseParserError("<html>"), Unreachable, "not EC2's"),
        (ValueError("?"), Permanent, "ValueError"),
    ],
)
def test_what_an_error_means(problem, kind, says):
    told = translated(problem, "RunInstances", "xx-north-1")
    assert type(told) is kind
    with pytest.raises(kind, match=says):
        raise told
    assert "xx-north-1" in str(told) and "RunInstances" in str(told)


def instance(**changes):
    return {
        "InstanceId": "i-1",
        "InstanceType": "c9.large",
        "Placement": {"AvailabilityZone": POOL.zone},
        "State": {"Name": "running"},
        "LaunchTime": "2026-01-01T00:00:00+00:00",
        **changes,
    }


def test_an_instance_as_it_was_seen():
    (seen,) = sightings({"Reservations": [{"Instances": [instance(InstanceLifecycle="spot")]}]})
    assert (seen.spot, seen.gone, seen.launched, seen.notice) == (True, False, NOW, None)
    (gone,) = sightings(
        {
            "Instances": [
                instance(
                    State={"Name": "terminated"},
                    StateReason={"Code": "Server.SpotInstanceTermination"},
                    StateTransitionReason="Server.SpotInstanceTermination (2026-01-01 00:05:00 GMT)",
                )
            ]
        }
    )
    assert gone.gone and gone.ending is Ending.REVOKED and gone.changed == NOW + 300
    (died,) = sightings(
        {"Instances": [instance(State={"Name": "stopped"}, StateReason={"Code": "Client.X"})]}
    )
    assert died.gone and died.ending is Ending.FAILED and died.changed is None


def test_a_notice_is_a_tag_that_anybody_may_have_written():
    text = "terminate 2026-01-01T00:02:00Z seen 2026-01-01T00:00:00Z"
    assert noticed("i-1", text).due == NOW + 120 and noticed("i-1", text).warned == NOW
    for bad in ("", "soon", "terminate tomorrow seen today", "terminate 2026-01-01T00:02:00Z"):
        assert noticed("i-1", bad) is None
    tags = [{"Key": "tradewind:notice", "Value": "nonsense"}, {"Key": "tradewind:rebalance", "Value": "?"}]
    (seen,) = sightings({"Instances": [instance(Tags=tags)]})
    assert seen.notice is None and seen.rebalance is None


@pytest.mark.parametrize(
    ("code", "notice", "taken"),
    [
        ("fulfilled", False, False),
        ("marked-for-termination", True, False),
        ("instance-terminated-no-capacity", False, True),
        ("instance-terminated-by-price", False, True),
        ("instance-terminated-by-user", False, False),
    ],
)
def test_how_a_spot_request_stands(code, notice, taken):
    status = {"Code": code, "UpdateTime": "2026-01-01T00:00:00+00:00"}
    (stands,) = standings(
        {"SpotInstanceRequests": [{"InstanceId": "i-1", "Status": status}, {"Status": status}]}
    )
    assert (stands.notice is not None, stands.taken_back) == (notice, taken)
    assert stands.notice is None or stands.notice.due == NOW + 120


def test_prices_as_they_come_in():
    market = SeenMarket("xx-north-1", [POOL, OTHER], CATALOG, boot=60.0)
    assert [offer.terms for offer in market.offers(NOW)] == [Terms.ON_DEMAND] * 2
    assert market.learn([("c9.large", POOL.zone, NOW, 1.0), ("c1.old", POOL.zone, NOW, 1.0)]) == [
        PriceChange(POOL, NOW, 1.0)
    ]
    offers = market.offers(NOW)
    assert [(offer.zone, offer.terms) for offer in offers] == sorted((o.zone, o.terms) for o in offers)
    assert market.offers(NOW + 1) is offers
    # The same again, the same price again, and an old one that was not listed then: nothing new now.
    again = [("c9.large", POOL.zone, NOW, 1.0), ("c9.large", POOL.zone, NOW + 9, 1.0)]
    assert market.learn([*again, ("c9.large", POOL.zone, NOW - 50, 0.5)]) == []
    assert (market.price(POOL, NOW - 60), market.price(POOL, NOW - 20), market.price(POOL, NOW)) == (
        0.5,
        0.5,
        1.0,
    )
    changes = market.learn([("c9.large", POOL.zone, NOW + 60, 0.8)])
    assert market.came_true((PriceBelow(POOL, 0.7), PriceBelow(POOL, 0.9)), changes, ()) == (
        PriceBelow(POOL, 0.9),
        NOW + 60,
    )
    assert market.too_dear(Bid(POOL, Terms.SPOT, limit=0.7)) and not market.too_dear(Bid(POOL, Terms.SPOT))
    for bid in (Bid(OTHER, Terms.SPOT), Bid(POOL, Terms.RESERVED), Bid(POOL, Terms.SPOT, 0)):
        with pytest.raises(Misuse):
            market.check(bid)
    assert market.history(NOW + 100).prices[POOL].end == NOW + 100


def test_a_pool_that_refused_is_back_after_a_while():
    market = SeenMarket("xx-north-1", [POOL], CATALOG, boot=0.0)
    market.learn([("c9.large", POOL.zone, NOW, 1.0)])
    market.refuse(POOL, Terms.SPOT, NOW + 10)
    assert [offer.terms for offer in market.offers(NOW + 9)] == [Terms.ON_DEMAND]
    assert market.next_return() == NOW + 10
    assert len(market.offers(NOW + 10)) == 2 and math.isinf(market.next_return())


def test_bills_follow_the_rule_of_today():
    market = SeenMarket("xx-north-1", [POOL], CATALOG, boot=0.0)
    market.learn([("c9.large", POOL.zone, NOW, 1.0), ("c9.large", POOL.zone, NOW + 1800, 2.0)])
    lease = Lease("i-1", Instance("i-1", KIND, POOL.zone), Terms.SPOT, NOW)
    market.bill(lease, NOW + 7200)
    assert market.owed() == 3, "an hour at the price of its start, then another"
    market.bill(replace(lease, ended=NOW + 1000, ending=Ending.REVOKED), NOW + 7200)
    assert market.owed() == 0 == market.invoice().total
    market.bill(Lease("i-2", Instance("i-2", KIND, POOL.zone), Terms.ON_DEMAND, NOW), NOW + 1800)
    assert market.owed() * 2 == 3
