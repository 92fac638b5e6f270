"""Objects in a bucket, over a socket to a server of S3; and what its errors come to."""

from __future__ import annotations

import builtins

import pytest

from s3_stage import new_bucket, s3_server, use
from tradewind.data import s3_store
from tradewind.data.object_store import open_store, read_address
from tradewind.data.s3_store import S3Store, translated
from tradewind.errors import MissingExtra, Misuse, Temporary, Unreachable
from tradewind.testing.stores import StoreLaws


@pytest.fixture(scope="module")
def server():
    with s3_server() as url:
        yield url


class TestBucket(StoreLaws):
    @pytest.fixture
    def store(self, server, monkeypatch):
        use(monkeypatch, server)
        _, bucket = new_bucket(server)
        return open_store(f"s3://{bucket}/some/folder/")


def test_it_keeps_to_its_folder_and_lists_more_than_a_page(server, monkeypatch) -> None:
    use(monkeypatch, server)
    client, bucket = new_bucket(server)
    store, whole = open_store(f"s3://{bucket}/in"), open_store(f"s3://{bucket}")
    assert isinstance(store, S3Store)
    client.put_object(Bucket=bucket, Key="inside/x", Body=b"beside it")
    client.put_object(Bucket=bucket, Key="in/", Body=b"")  # as consoles make folders
    monkeypatch.setattr(store, "_client", _Paged(store._client))  # two keys a page, where S3 has a thousand
    for number in range(5):
        store.put(f"{number}", b"%d" % number)
    assert store.list() == ["0", "1", "2", "3", "4"]
    assert whole.list("in/") == ["in/0", "in/1", "in/2", "in/3", "in/4"]
    assert client.get_object(Bucket=bucket, Key="in/3")["Body"].read() == b"3"
    assert read_address(f"s3://{bucket}/inside/x") == b"beside it"
    with pytest.raises(Misuse, match="no such file"):
        read_address(f"s3://{bucket}/inside/y")


class _Paged:
    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        return getattr(self._client, name)

    def list_objects_v2(self, **arguments):
        return self._client.list_objects_v2(MaxKeys=2, **arguments)


def test_errors_say_what_to_mend_or_that_it_may_be_tried_again(server, monkeypatch) -> None:
    use(monkeypatch, server)
    nowhere = open_store("s3://no-such-bucket-here/x")
    for call in (lambda: nowhere.put("a", b""), lambda: nowhere.get("a"), nowhere.list):
        with pytest.raises(Misuse, match=r"s3://no-such-bucket-here/x.*NoSuchBucket"):
            call()
    with pytest.raises(Misuse, match="names no bucket"):
        open_store("s3://")
    with pytest.raises(Misuse, match="Check the address"):
        open_store("s3://no bucket/x").get("a")
    use(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setattr(s3_store, "_TRIES", 1)
    with pytest.raises(Unreachable, match="s3://bucket/a"):
        open_store("s3://bucket").get("a")


class _Refused(Exception):
    def __init__(self, code):
        super().__init__(code)
        self.response = {"Error": {"Code": code}}


def test_codes() -> None:
    assert "write and list" in str(translated(_Refused("AccessDenied"), "s3://b/k"))
    assert isinstance(translated(_Refused("SlowDown"), "s3://b/k"), Temporary)
    no_key = type("NoCredentialsError", (Exception,), {})("Unable to locate credentials")
    assert isinstance(translated(no_key, "s3://b/k"), Misuse)


def test_without_its_package_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(s3_store, "_clients", {})
    imported = builtins.__import__

    def without(name, *rest):
        if name == "boto3":
            raise ImportError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"boto3.*tradewind\[aws\]"):
        open_store("s3://bucket/x")
