"""The embedding table on moto's DynamoDB over a real socket, and what it does when the database is short."""

import logging

import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from tradewind import clock
from tradewind.errors import Corrupt, Misuse, Temporary, Unreachable
from tradewind.serving.models.opening import Opening
from tradewind.serving.server.embeddings.cached import CachedEmbeddings
from tradewind.serving.server.embeddings.table import EmbeddingTable
from tradewind.serving.server.replicas.own_process import OwnProcess

WIDTH = 5
VECTORS = np.random.default_rng(2).normal(size=(260, WIDTH)).astype(np.float32)


@pytest.fixture(scope="module")
def url():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def table(url):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        table = EmbeddingTable("words", WIDTH, endpoint_url=url, region="us-east-1", patience=0.4)
        table.create()
        table.create()
        table.write(range(len(VECTORS)), VECTORS)
        yield table
        table.close()


def test_it_reads_in_batches_of_a_hundred(table):
    before = table.calls
    found = table.read([*range(250), 3, 3, 999])
    assert sorted(found) == list(range(250)) and table.calls - before == 3
    assert all(np.array_equal(found[key], VECTORS[key]) for key in found)
    assert table.read([]) == {}


def test_a_cache_in_front_of_it_asks_once(table):
    cached = CachedEmbeddings(table, 300)
    before = table.calls
    for _ in range(3):
        assert np.array_equal(cached.vectors([[1, 2], [2, 7]]), VECTORS[[[1, 2], [2, 7]]])
        assert np.array_equal(cached.vectors([999, 1]), np.stack([np.zeros(WIDTH), VECTORS[1]]))
    assert table.calls - before == 2, "1, 2 and 7 in one request, and 999, which is not there, in another"
    assert (cached.asked, cached.hits) == (15, 11)


def test_writing_replaces_and_checks(table):
    table.write([5], np.ones((1, WIDTH)))
    assert table.read([5])[5].tolist() == [1.0] * WIDTH
    table.write([5], VECTORS[5:6])
    for ids, rows in (([1, 1], VECTORS[:2]), ([1], VECTORS[:2]), ([1], VECTORS[:1, :2])):
        with pytest.raises(Misuse, match="vectors"):
            table.write(ids, rows)


def test_a_vector_of_another_width_is_named(table, url):
    table._client.put_item(TableName="words", Item={"id": {"N": "7777"}, "vector": {"B": b"abc"}})
    with pytest.raises(Corrupt, match="id 7777: 3 bytes"):
        table.read([7777])


def test_a_table_that_is_not_there_and_a_database_that_is_not(table, url):
    absent = EmbeddingTable("absent", WIDTH, endpoint_url=url, region="us-east-1")
    with pytest.raises(Misuse, match="no such table"):
        absent.read([1])
    absent.close()
    nobody = EmbeddingTable("words", WIDTH, endpoint_url="http://127.0.0.1:9", region="us-east-1")
    with pytest.raises(Unreachable):
        nobody.read([1])
    nobody.close()


class Short:
    """A client that answers a few keys at a time, or none."""

    def __init__(self, client, at_once):
        self.client, self.at_once, self.asked = client, at_once, []

    def batch_get_item(self, RequestItems):
        keys = RequestItems["words"]["Keys"]
        self.asked.append(len(keys))
        told = {"Responses": {}}
        if self.at_once:
            told = self.client.batch_get_item(RequestItems={"words": {"Keys": keys[: self.at_once]}})
        left = keys[self.at_once :]
        return told | {"UnprocessedKeys": {"words": {"Keys": left}} if left else {}}


def test_what_is_left_unprocessed_is_asked_for_again(table, monkeypatch):
    monkeypatch.setattr(table, "_client", Short(table._client, 40))
    found = table.read(range(100))
    assert sorted(found) == list(range(100)) and table._client.asked == [100, 60, 20]
    monkeypatch.setattr(table, "_client", Short(table._client.client, 0))
    with pytest.raises(Temporary, match="100 items unprocessed"):
        table.read(range(100))
    # Pauses of 0.05, 0.1 and 0.2 s fit into 0.4.
    assert table._client.asked == [100] * 4


MODEL = '''
import os

from tradewind.serving.server.embeddings.cached import CachedEmbeddings
from tradewind.serving.server.embeddings.table import EmbeddingTable


class Mean:
    """The mean of the embeddings of a row's words."""

    signature = {"inputs": {"words": ["INT64", [-1, 3]]}, "outputs": {"mean": ["FP32", [-1, 5]]}}

    def load(self):
        self.table = EmbeddingTable(
            "words", 5, endpoint_url=os.environ.get("EMBEDDINGS", ""), region="us-east-1"
        )
        self.embeddings = CachedEmbeddings(self.table, capacity=100)

    def predict(self, inputs):
        return {"mean": self.embeddings.vectors(inputs["words"]).mean(axis=1)}

    def close(self):
        self.table.close()
'''


def test_a_model_of_ones_own_reads_its_embeddings_through_the_cache(url, table, tmp_path, monkeypatch):
    """The example of the page on serving, in a replica's process of its own."""
    (tmp_path / "mean_of_words.py").write_text(MODEL)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("EMBEDDINGS", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.syspath_prepend(str(tmp_path))

    async def main():
        replica = OwnProcess(Opening(python="mean_of_words:Mean"))
        await replica.open()
        words = np.array([[1, 2, 3], [3, 2, 200]])
        for _ in range(2):
            found = await replica.run({"words": words})
            assert np.array_equal(found["mean"], VECTORS[words].mean(axis=1))
        table.write([1], np.zeros((1, WIDTH)))
        found = await replica.run({"words": words})
        assert np.array_equal(found["mean"], VECTORS[words].mean(axis=1)), "from memory: nothing was read"
        table.write([1], VECTORS[1:2])
        await replica.close()

    clock.run(main())
