"""The line of an endpoint in the record of runs, from its first second to its last."""

import asyncio
import sqlite3

import pytest

from tradewind.data.runs import FAILED, RUNNING, RunIndex
from tradewind.serving.provisioning.course import Held, Standing
from tradewind.session import endpoint_record
from tradewind.session.endpoint_record import EndpointRecord

STANDING = Standing(held=(Held("small", "spot", 3, 2), Held("large", "on demand", 1, 1)), spent=0.25)


@pytest.fixture(autouse=True)
def _often(monkeypatch):
    monkeypatch.setattr(endpoint_record, "KEPT_EVERY", 0.01)


def test_what_stands_is_on_record_while_it_serves_and_what_failed_says_why(tmp_path):
    index = RunIndex(tmp_path)

    async def serving():
        async with EndpointRecord(tmp_path, "shop", print) as record:
            assert record.directory.name.startswith("shop-") and index.find("shop").state == RUNNING
            record.ready("http://127.0.0.1:8080")
            record.stands(STANDING)
            while (run := index.find("shop")).cost is None:
                await asyncio.sleep(0.01)
            assert (run.cost, run.endpoint.replicas, run.endpoint.url) == (0.25, 3, "http://127.0.0.1:8080")
            raise RuntimeError("replicas fail")

    with pytest.raises(RuntimeError, match="replicas fail"):
        asyncio.run(serving())
    run = index.find("shop")
    assert (run.state, run.reason, run.cost, run.endpoint.replicas) == (FAILED, "replicas fail", 0.25, 0)


def test_a_record_that_is_lost_stops_no_endpoint(tmp_path):
    told = []

    async def serving():
        async with EndpointRecord(tmp_path, "no name for a folder/", told.append) as record:
            assert record.directory.name.startswith("endpoint-")
            with sqlite3.connect(tmp_path / "index.sqlite") as connection:
                connection.execute("DROP TABLE runs")
            connection.close()
            record.stands(STANDING)
            while not told:
                await asyncio.sleep(0.01)

    asyncio.run(serving())
    assert all(text.startswith("the record of runs: ") for text in told)
