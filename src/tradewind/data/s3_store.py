"""Objects in a bucket of S3, or of a server that speaks its API, through boto3.

Credentials, region and address are found as boto3 finds them: environment, files, the instance's role;
`AWS_ENDPOINT_URL_S3` (or `AWS_ENDPOINT_URL`) names another server than AWS's. A single write of S3 is atomic
and seen by whoever reads after it.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from tradewind.data.object_keys import check_key
from tradewind.errors import MissingExtra, Misuse, Temporary, TradewindError, Unreachable

CONNECT, READ = 5.0, 60.0
"""Seconds for a connection, and between two parts of an answer."""
_TRIES = 3
_ADDRESSES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_SETTINGS = (*_ADDRESSES, "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_REGION")
_ABSENT = ("NoSuchKey", "NotFound", "404")
_FIXES = {
    "NoSuchBucket": "Check the bucket's name, or make it.",
    "InvalidBucketName": "Check the bucket's name.",
    "AccessDenied": "Allow these credentials to read, write and list there.",
    "AllAccessDisabled": "Allow these credentials to read, write and list there.",
    "403": "Allow these credentials to read, write and list there.",
    "InvalidAccessKeyId": "Check the access key.",
    "SignatureDoesNotMatch": "Check the secret key, and the clock of this machine.",
    "ExpiredToken": "Renew the session's credentials.",
    "InvalidToken": "Renew the session's credentials.",
    "PermanentRedirect": "Name the bucket's region in AWS_DEFAULT_REGION.",
    "AuthorizationHeaderMalformed": "Name the bucket's region in AWS_DEFAULT_REGION.",
    "EntityTooLarge": "Cut it into objects of 5 GiB at most.",
}
"""Error codes that trying again does not change, and what to do about them."""

_clients: dict[tuple[str | None, ...], Any] = {}
_making = threading.Lock()
"""boto3's clients may be used in many threads, and must not be made in two at once."""


class S3Store:
    """Implements `ObjectStore` over the keys of a bucket that begin with `root/`."""

    def __init__(self, bucket: str, root: str = "") -> None:
        """Find the client; MissingExtra where boto3 is not installed, Misuse where no bucket is named."""
        if not bucket:
            raise Misuse("names no bucket", source="s3://", fix="Write s3://bucket/path.")
        self.bucket, self.root = bucket, root.strip("/")
        self._client = _client()

    def _place(self, key: str) -> str:
        return f"{self.root}/{key}" if self.root else key

    def put(self, key: str, content: bytes) -> None:
        """Keep `content` under `key`; Misuse or Temporary where that cannot be."""
        check_key(key)
        self._ask("put_object", key, Key=self._place(key), Body=content)

    def get(self, key: str) -> bytes:
        """What is kept under `key`; KeyError where nothing is, Misuse or Temporary if it cannot be read."""
        check_key(key)
        answer = self._ask("get_object", key, Key=self._place(key))
        try:
            content: bytes = answer["Body"].read()
        except Exception as problem:  # the client's own, and those of what it reads by
            raise Temporary(f"s3://{self.bucket}/{self._place(key)}: {problem}") from problem
        return content

    def list(self, prefix: str = "") -> list[str]:
        """The keys that begin with `prefix`, sorted; Misuse or Temporary where they cannot be listed."""
        inside = f"{self.root}/" if self.root else ""
        found: list[str] = []
        more: dict[str, str] = {}
        while True:
            page = self._ask("list_objects_v2", prefix, Prefix=inside + prefix, **more)
            found += [each["Key"].removeprefix(inside) for each in page.get("Contents", ())]
            if not page.get("IsTruncated"):
                return sorted(key for key in found if key and not key.endswith("/"))
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, key: str) -> None:
        """Keep nothing under `key`."""
        check_key(key)
        self._ask("delete_object", key, Key=self._place(key))

    def _ask(self, method: str, key: str, **arguments: Any) -> Any:
        try:
            return getattr(self._client, method)(Bucket=self.bucket, **arguments)
        except Exception as problem:
            code = _code(problem)
            if method == "get_object" and code in _ABSENT:
                raise KeyError(key) from None
            raise translated(problem, f"s3://{self.bucket}/{self._place(key)}") from problem


def _code(problem: Exception) -> str:
    response = getattr(problem, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def translated(problem: Exception, source: str) -> TradewindError:
    """What an exception of boto3 means: mend the settings, or try again."""
    names = {each.__name__ for each in type(problem).__mro__}
    if code := _code(problem):
        if code in _FIXES:
            return Misuse(f"the store refused it ({code})", source=source, fix=_FIXES[code])
        return Temporary(f"{source}: {problem}", delay=2.0)
    if names & {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "NoRegionError"}:
        return Misuse(str(problem), source=source, fix="Set AWS_ACCESS_KEY_ID, or AWS_PROFILE.")
    if names & {"ParamValidationError", "ValueError"}:
        return Misuse(str(problem), source=source, fix="Check the address.")
    return Unreachable(f"{source}: {problem}")


def _client() -> Any:
    settings = tuple(os.environ.get(name) for name in _SETTINGS)
    with _making:
        if settings not in _clients:
            _clients[settings] = _made()
        return _clients[settings]


def _made() -> Any:
    try:
        import boto3  # noqa: PLC0415 -- an extra
        from botocore.config import Config  # noqa: PLC0415
    except ImportError:
        raise MissingExtra("boto3", "aws", "s3://") from None
    own = any(os.environ.get(name) for name in _ADDRESSES)
    config = Config(
        connect_timeout=CONNECT, read_timeout=READ,
        retries={"total_max_attempts": _TRIES, "mode": "standard"},
        s3={"addressing_style": "path"} if own else {},  # a server of one's own has no host for every bucket
    )  # fmt: skip
    try:
        return boto3.session.Session().client("s3", config=config)
    except Exception as problem:
        raise translated(problem, "s3://") from problem
