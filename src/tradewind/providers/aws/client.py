"""The only module here that speaks through boto3: requests are sent in threads, with stated time limits.

boto3's own retries are off. What is temporary is tried again here, in the clock's world, where it can be
cancelled; every request that we make may be sent twice (`RunInstances` carries a client token).
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import threading
from collections.abc import Callable
from typing import Any

from tradewind import clock
from tradewind.errors import MissingExtra, Misuse, Temporary, TradewindError
from tradewind.providers.aws import refusals
from tradewind.providers.aws.requests import Request

CONNECT, READ = 5.0, 20.0
"""Seconds of the wall's for a connection, and for an answer."""
PATIENCE = 60.0
"""Seconds of the wall's for which a request that fails for a while is tried again."""
_FIRST_DELAY, _LONGEST_DELAY = 0.2, 8.0
LONGEST_LINK = 7 * 86400.0
"""Seconds for which S3 heeds a signed address at most."""
_S3_ADDRESSES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_CHOOSING = ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_REGION")
"""The environment's words on which credentials and region are meant."""

_sessions: dict[str, Any] = {}
_making = threading.Lock()
"""boto3's sessions are not made in two threads at once; they keep the parsed model of EC2."""


class Ec2:
    """EC2 in one region; its client is made when the first request is sent."""

    def __init__(
        self, region: str, *, endpoint_url: str = "", profile: str = "", patience: float = PATIENCE
    ) -> None:
        self.region, self.endpoint_url, self.profile = region, endpoint_url, profile
        self._patience = patience
        self._client: Any = None

    async def ask(self, request: Request, *, patience: float | None = None) -> dict[str, Any]:
        """Send a request, again while it fails for a while, and read all pages of the answer.

        Raises Temporary (Unreachable without an answer) after `patience` seconds of the wall's (this
        client's own, if None), NoCapacity, Permanent or Misuse. A dry run that EC2 would have done answers
        with nothing.
        """
        patience = self._patience if patience is None else patience
        passed = clock.stopwatch()
        delay = _FIRST_DELAY
        while True:
            try:
                return await asyncio.to_thread(self._send, request)
            except Temporary as problem:
                wait = min(delay, _LONGEST_DELAY)
                if problem.delay > _LONGEST_DELAY or passed() + wait > patience:
                    raise
            await clock.sleep_until(clock.now() + wait * _speed())
            delay *= 2

    def _send(self, request: Request) -> dict[str, Any]:
        """Send it once, in a thread, and read all pages."""
        method = self._method(request.operation)
        arguments = dict(request.arguments)
        answer: dict[str, Any] = {}
        while True:
            try:
                page = method(**arguments)
            except Exception as problem:
                if refusals.code_of(problem) == "DryRunOperation":
                    return {}
                raise refusals.translated(problem, request.operation, self.region) from problem
            for key, value in page.items():
                if isinstance(value, list):
                    answer.setdefault(key, []).extend(value)
                elif key not in ("ResponseMetadata", "NextToken"):
                    answer[key] = value
            token = page.get("NextToken")
            if not token or request.changes:
                return answer
            arguments["NextToken"] = token

    def _method(self, operation: str) -> Callable[..., dict[str, Any]]:
        with _making:
            try:
                self._client = self._client or _made(self.region, self.endpoint_url, self.profile)
            except TradewindError:
                raise
            except Exception as problem:
                raise refusals.translated(problem, operation, self.region) from problem
        method: Callable[..., dict[str, Any]] = getattr(
            self._client, re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
        )
        return method

    def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None


class Links:
    """Addresses of objects in a bucket that are signed here and now: whoever has one needs no credentials.

    Signed with the credentials of the environment, as `data.s3_store` finds them; where `AWS_DEFAULT_REGION`
    names none, for a bucket in `region`. They end with the credentials that signed them.
    """

    def __init__(self, bucket: str, region: str) -> None:
        """Raises MissingExtra without boto3, Misuse without credentials."""
        boto3, config = _boto3()
        own = any(os.environ.get(name) for name in _S3_ADDRESSES)
        settings = config(
            signature_version="s3v4",
            request_checksum_calculation="when_required",  # of what will be put, nobody knows the sum yet
            s3={"addressing_style": "path" if own else "virtual"},
        )
        with _making:
            chosen = " ".join(["links", *(os.environ.get(name, "") for name in _CHOOSING)])
            if chosen not in _sessions:
                _sessions[chosen] = boto3.session.Session()
            session = _sessions[chosen]
            self._credentials = session.get_credentials()
            self._client = session.client("s3", region_name=session.region_name or region, config=settings)
        self._bucket = bucket
        if self._credentials is None:
            raise Misuse(
                "there are no AWS credentials",
                source=f"s3://{bucket}",
                fix="Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
            )

    def check(self, seconds: float) -> None:
        """Raise Misuse where a link could not be heeded for so long.

        Of a session token that stands in the environment nobody here knows when it ends.
        """
        if seconds > LONGEST_LINK:
            raise Misuse(
                f"links would have to last {seconds / 86400:.3g} days, and S3 heeds them for 7",
                source=f"s3://{self._bucket}",
                fix="Set a shorter time_limit.",
            )
        ends_within = getattr(self._credentials, "refresh_needed", None)
        if ends_within is None:
            return
        try:
            self._credentials.get_frozen_credentials()  # renewed, if they are about to end
        except Exception as problem:
            raise refusals.translated(problem, "credentials", f"s3://{self._bucket}") from problem
        if ends_within(refresh_in=seconds):
            raise Misuse(
                f"these credentials end within {seconds / 3600:.3g} hours, and links with them",
                source=f"s3://{self._bucket}",
                fix="Set a shorter time_limit, or use credentials that last longer.",
            )

    def get(self, key: str, seconds: float) -> str:
        """An address that gives the object for so long."""
        return self._signed("get_object", key, seconds)

    def put(self, key: str, seconds: float) -> str:
        """An address that takes the object's content, by HTTP's PUT, for so long."""
        return self._signed("put_object", key, seconds)

    def _signed(self, method: str, key: str, seconds: float) -> str:
        what = {"Bucket": self._bucket, "Key": key}
        signed: str = self._client.generate_presigned_url(method, Params=what, ExpiresIn=int(seconds))
        return signed

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()


def _boto3() -> tuple[Any, Any]:
    """boto3, and the class of its settings; MissingExtra where it is not installed."""
    try:
        import boto3  # noqa: PLC0415 -- an extra
        from botocore.config import Config  # noqa: PLC0415
    except ImportError:
        raise MissingExtra("boto3", "aws", "the provider `aws`") from None
    return boto3, Config


def _made(region: str, endpoint_url: str, profile: str) -> Any:
    """A client of boto3; Misuse if it is not installed or cannot be configured so."""
    boto3, config_of = _boto3()
    if endpoint_url and not re.match(r"https?://", endpoint_url):
        raise Misuse(
            f"{endpoint_url!r} is no address", source="provider aws", field="endpoint_url", fix="Use http(s)."
        )
    if profile not in _sessions:
        _sessions[profile] = boto3.session.Session(profile_name=profile or None)
    config = config_of(
        connect_timeout=CONNECT, read_timeout=READ, retries={"total_max_attempts": 1}, max_pool_connections=8
    )
    return _sessions[profile].client(
        "ec2", region_name=region, endpoint_url=endpoint_url or None, config=config
    )


def _speed() -> float:
    speed = clock.speed()
    if math.isinf(speed):
        raise Misuse("EC2 takes real time, a simulation has none", fix="Use the provider `simulated`.")
    return speed
