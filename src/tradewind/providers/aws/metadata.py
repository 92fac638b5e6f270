"""What an EC2 instance can ask of itself: the metadata service, version 2, read over HTTP.

Version 2 only: a token is fetched by PUT and sent along; instances that we start require it.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from http import HTTPStatus

from msgspec import Struct

from tradewind.clock import moment
from tradewind.errors import Misuse, Temporary, Unreachable

ADDRESS = "http://169.254.169.254"
TOKEN_LIFE = 21600
"""Seconds that a token is asked for: the longest that there is."""
TIMEOUT = 2.0
"""Seconds of the wall's for an answer; the service is on the machine itself."""


class Interruption(Struct, frozen=True):
    """A notice of EC2's: what will happen to the instance, and when."""

    action: str
    """terminate, stop or hibernate."""
    due: float


class Metadata:
    """The metadata service of the instance that this runs on. Blocks; call it in a thread."""

    def __init__(self, address: str = ADDRESS) -> None:
        self._address = address.rstrip("/")
        self._token = ""
        # A proxy in the environment is never the way to a link-local address.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def interruption(self) -> Interruption | None:
        """The notice, if one was given."""
        told = self._document("meta-data/spot/instance-action")
        if told is None:
            return None
        try:
            return Interruption(str(told["action"]), moment(str(told["time"])))
        except (KeyError, Misuse) as problem:
            raise Temporary(f"the metadata service gave a notice that is none: {problem}") from None

    def rebalance(self) -> float | None:
        """When EC2 said that an interruption is likely; None if it has not."""
        told = self._document("meta-data/events/recommendations/rebalance")
        if told is None:
            return None
        try:
            return moment(str(told["noticeTime"]))
        except (KeyError, Misuse) as problem:
            raise Temporary(f"the metadata service gave a hint that is none: {problem}") from None

    def instance(self) -> str:
        """The instance's id. Raises Temporary if the service does not say."""
        text = self._text("meta-data/instance-id")
        if text is None:
            raise Temporary("the metadata service does not know the instance's id")
        return text

    def region(self) -> str:
        """The region that it is in."""
        text = self._text("meta-data/placement/region")
        if text is None:
            raise Temporary("the metadata service does not know the region")
        return text

    def _document(self, path: str) -> dict[str, object] | None:
        text = self._text(path)
        if text is None:
            return None
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise Temporary(f"the metadata service's {path} is no JSON object")
        return document

    def _text(self, path: str) -> str | None:
        """What is at a path; None if nothing is. A token that ran out is renewed once."""
        for fresh in (False, True):
            if fresh or not self._token:
                self._token = self._put_token()
            status, text = self._ask(
                urllib.request.Request(
                    f"{self._address}/latest/{path}", headers={"X-aws-ec2-metadata-token": self._token}
                )
            )
            if status == HTTPStatus.OK:
                return text
            if status == HTTPStatus.NOT_FOUND:
                return None
            if status != HTTPStatus.UNAUTHORIZED:
                raise Temporary(f"the metadata service answered {status} for {path}")
        raise Temporary("the metadata service refuses its own token")

    def _put_token(self) -> str:
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_LIFE)}
        request = urllib.request.Request(f"{self._address}/latest/api/token", method="PUT", headers=headers)
        status, text = self._ask(request)
        if status != HTTPStatus.OK:
            raise Temporary(f"the metadata service gave no token ({status})")
        return text

    def _ask(self, request: urllib.request.Request) -> tuple[int, str]:
        try:
            with self._opener.open(request, timeout=TIMEOUT) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, ""
        except OSError as problem:
            raise Unreachable(f"no metadata service at {self._address}: {problem}") from None
