"""Vectors by their ids in a table of DynamoDB, read in parallel batches.

Tu, Li and Lin, "Pay-Per-Request Deployment of Neural Network Models Using Serverless Architectures" (NAACL
2018, demonstrations): the embeddings of a model on Lambda lie in DynamoDB, since its package may not hold
them. An item is `{"id": number, "vector": bytes}`, the bytes float32, little-endian.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import Corrupt, MissingExtra, Misuse, Temporary, Unreachable

READ_AT_ONCE, _WRITE_AT_ONCE = 100, 25
"""Keys of one BatchGetItem, items of one BatchWriteItem: DynamoDB's own limits."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_ABSENT = "ResourceNotFoundException"

Vectors = NDArray[np.float32]


class EmbeddingTable:
    """The table `name`, whose vectors have `width` numbers. Every method blocks; any thread may call it.

    Up to `parallel` batches are read at a time. What the table answers with "unprocessed" is asked for again,
    after pauses that double, for as long as `patience` seconds of pauses last; Temporary after that.
    """

    def __init__(
        self,
        name: str,
        width: int,
        *,
        endpoint_url: str = "",
        region: str = "",
        parallel: int = 8,
        patience: float = 10.0,
    ) -> None:
        self.name, self.width = name, width
        self.calls = 0
        """Requests to the database so far."""
        self._patience = patience
        self._client = _made(endpoint_url, region, parallel)
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix=f"embeddings-{name}")
        self._pauses = threading.Event()
        self._counting = threading.Lock()

    def create(self) -> None:
        """Make the table, paid for by the request, and wait until it is there; silent if it is."""
        try:
            self._client.describe_table(TableName=self.name)
        except Exception as problem:
            if _code(problem) != _ABSENT:
                raise self._translated(problem) from problem
            try:
                self._client.create_table(
                    TableName=self.name,
                    KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                    AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}],
                    BillingMode="PAY_PER_REQUEST",
                )
            except Exception as late:
                raise self._translated(late) from late
        self._client.get_waiter("table_exists").wait(TableName=self.name)

    def write(self, ids: Iterable[int], vectors: NDArray[Any]) -> None:
        """Put a vector, a row of `vectors` (n, width), under each id; those there are replaced.

        Misuse where an id is given twice, or the shapes differ.
        """
        rows = np.ascontiguousarray(vectors, "<f4")
        keys = [int(each) for each in ids]
        if rows.shape != (len(keys), self.width) or len(set(keys)) != len(keys):
            raise Misuse(
                f"{len(keys)} ids, {len(set(keys))} of them different, and vectors of shape {rows.shape}",
                source=self.name, field="vectors", fix=f"Give {self.width} numbers for each id, once.",
            )  # fmt: skip
        items = [
            {"PutRequest": {"Item": {"id": {"N": str(key)}, "vector": {"B": row.tobytes()}}}}
            for key, row in zip(keys, rows, strict=True)
        ]
        parts = [items[at : at + _WRITE_AT_ONCE] for at in range(0, len(items), _WRITE_AT_ONCE)]
        list(self._threads.map(self._write, parts))

    def _write(self, items: list[Any]) -> None:
        pauses = _Pauses(self)
        while items:
            answer = self._ask("batch_write_item", {self.name: items})
            items = answer.get("UnprocessedItems", {}).get(self.name, [])
            if items:
                pauses.take(len(items))

    def read(self, ids: Sequence[int]) -> dict[int, Vectors]:
        """The vectors of those ids that the table has, each (width,), by id; an id may be given twice."""
        keys = list(dict.fromkeys(int(each) for each in ids))
        parts = [keys[at : at + READ_AT_ONCE] for at in range(0, len(keys), READ_AT_ONCE)]
        found: dict[int, Vectors] = {}
        for part in [self._read(parts[0])] if len(parts) == 1 else self._threads.map(self._read, parts):
            found |= part
        return found

    def _read(self, keys: list[int]) -> dict[int, Vectors]:
        wanted: dict[str, Any] = {"Keys": [{"id": {"N": str(key)}} for key in keys]}
        found: dict[int, Vectors] = {}
        pauses = _Pauses(self)
        while wanted:
            answer = self._ask("batch_get_item", {self.name: wanted})
            for item in answer.get("Responses", {}).get(self.name, []):
                found[int(item["id"]["N"])] = self._vector(item)
            wanted = answer.get("UnprocessedKeys", {}).get(self.name, {})
            if wanted:
                pauses.take(len(wanted["Keys"]))
        return found

    def _vector(self, item: dict[str, Any]) -> Vectors:
        held = item.get("vector", {}).get("B", b"")
        if len(held) != 4 * self.width:
            raise Corrupt(
                f"table {self.name}, id {item['id']['N']}: {len(held)} bytes are no vector of {self.width}"
            )
        return np.frombuffer(held, "<f4").astype(np.float32)

    def _ask(self, method: str, items: dict[str, Any]) -> dict[str, Any]:
        with self._counting:
            self.calls += 1
        try:
            answer: dict[str, Any] = getattr(self._client, method)(RequestItems=items)
        except Exception as problem:
            code = _code(problem)
            if code in (
                "ProvisionedThroughputExceededException",
                "ThrottlingException",
                "RequestLimitExceeded",
            ):
                kind = "UnprocessedKeys" if method == "batch_get_item" else "UnprocessedItems"
                return {kind: items}  # nothing of it was done: the same as all of it undone
            raise self._translated(problem) from problem
        return answer

    def _translated(self, problem: Exception) -> Exception:
        code = _code(problem)
        text = f"table {self.name}: {problem}"
        if code == _ABSENT:
            return Misuse("there is no such table", source=self.name, field="name", fix="Create it first.")
        if code in ("InternalServerError", "ServiceUnavailable"):
            return Temporary(text)
        return Misuse(text) if code else Unreachable(text)

    def pause(self, seconds: float) -> None:
        """Wait; cut short by `close`."""
        if self._pauses.wait(seconds):
            raise Temporary(f"table {self.name} was closed meanwhile")

    @property
    def patience(self) -> float:
        """Seconds of pauses that one batch may take."""
        return self._patience

    def close(self) -> None:
        """Let go of the connections."""
        self._pauses.set()
        self._threads.shutdown(wait=True)
        with contextlib.suppress(Exception):
            self._client.close()


class _Pauses:
    """The pauses of one batch: each twice as long as the one before."""

    def __init__(self, table: EmbeddingTable) -> None:
        self._table, self._next, self._taken = table, _FIRST_PAUSE, 0.0

    def take(self, left: int) -> None:
        """Wait, for `left` items were not processed; Temporary where patience is over."""
        if self._taken + self._next > self._table.patience:
            raise Temporary(f"table {self._table.name} leaves {left} items unprocessed", delay=_LONGEST_PAUSE)
        self._table.pause(self._next)
        self._taken += self._next
        self._next = min(2.0 * self._next, _LONGEST_PAUSE)


def _code(problem: Exception) -> str:
    told: dict[str, Any] = getattr(problem, "response", {})
    return str(told.get("Error", {}).get("Code", ""))


def _made(endpoint_url: str, region: str, connections: int) -> Any:
    try:
        import boto3  # noqa: PLC0415 -- an extra
        from botocore.config import Config  # noqa: PLC0415
    except ImportError:
        raise MissingExtra("boto3", "aws", "an embedding table in DynamoDB") from None
    config = Config(
        connect_timeout=5.0,
        read_timeout=20.0,
        retries={"total_max_attempts": 1},
        max_pool_connections=connections,
    )
    told: dict[str, Any] = {"endpoint_url": endpoint_url or None, "config": config}
    if region:
        told["region_name"] = region
    return boto3.session.Session().client("dynamodb", **told)
