"""The laws of an object store: subclass and give a fixture `store` that makes an empty one."""

from __future__ import annotations

import threading

import pytest

from tradewind.data.object_store import ObjectStore
from tradewind.errors import Misuse


class StoreLaws:
    """What every `ObjectStore` must obey; the numbers are the protocol's clauses."""

    def test_what_is_put_is_got(self, store: ObjectStore) -> None:
        """Any bytes, empty ones too."""
        for key, content in (("a", b""), ("b/c/d.json", b"{}"), ("b/e", bytes(range(256)) * 999)):
            store.put(key, content)
            assert store.get(key) == content

    @pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", ".", "../a", "a/../b", "a/./b", "a\0"])
    def test_a_bad_key_is_refused(self, store: ObjectStore, key: str) -> None:
        """Clause 1."""
        for use in (lambda: store.put(key, b"x"), lambda: store.get(key), lambda: store.delete(key)):
            with pytest.raises(Misuse):
                use()
        assert store.list() == []

    def test_put_replaces(self, store: ObjectStore) -> None:
        """Clause 2: a shorter content leaves nothing of a longer one."""
        store.put("a/b", b"long content")
        store.put("a/b", b"short")
        assert store.get("a/b") == b"short"
        assert store.list() == ["a/b"]

    def test_readers_see_old_or_new(self, store: ObjectStore) -> None:
        """Clause 2, with a writer at work."""
        versions = [bytes([number]) * 200_000 for number in range(2)]
        store.put("key", versions[0])
        ready, stop = threading.Event(), threading.Event()

        def write() -> None:
            turn = 0
            while not stop.is_set():
                store.put("key", versions[turn % 2])
                ready.set()
                turn += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            assert ready.wait(10)
            assert all(store.get("key") in versions for _ in range(50))
        finally:
            stop.set()
            writer.join()

    def test_absent_keys(self, store: ObjectStore) -> None:
        """Clause 3."""
        with pytest.raises(KeyError):
            store.get("nothing")
        store.delete("nothing")
        store.put("a/b", b"x")
        with pytest.raises(KeyError):
            store.get("a")
        store.delete("a/b")
        with pytest.raises(KeyError):
            store.get("a/b")
        assert store.list() == []

    def test_list_by_prefix(self, store: ObjectStore) -> None:
        """Clause 4: sorted, by the beginning of the key."""
        for key in ("runs/2/model", "runs/1/model", "runs/10/model", "other"):
            store.put(key, b"x")
        assert store.list() == ["other", "runs/1/model", "runs/10/model", "runs/2/model"]
        assert store.list("runs/1") == ["runs/1/model", "runs/10/model"]
        assert store.list("runs/1/") == ["runs/1/model"]
        assert store.list("none") == []
