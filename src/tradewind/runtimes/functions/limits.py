"""What Lambda allows, and the local host with it; each can be set for a host.

AWS Lambda developer guide, "Lambda quotas".
"""

from __future__ import annotations

from msgspec import Struct

FULL_CORE = 1769.0
"""MB of memory with which a function gets one core; its share of processors grows with its memory."""


class Limits(Struct, frozen=True, kw_only=True):
    """Sizes are bytes but where they are said to be MB (2**20); times are seconds."""

    payload: int = 6 << 20
    """Of an event and of an answer."""
    event_payload: int = 1 << 20
    """Of an event that nobody waits for the answer of."""
    zipped: int = 50 << 20
    """Of a package as it is sent."""
    unzipped: int = 250 << 20
    stored: int = 4 << 30
    """Of all packages together, unzipped."""
    variables: int = 4096
    """Of environment variables together."""
    memory: tuple[int, int] = (128, 10240)
    """MB, least and most."""
    timeout: tuple[int, int] = (1, 900)
    concurrency: int = 64
    """Calls at a time, of all functions together; Lambda's own is 1000."""
    unreserved: int = 4
    """What reservations must leave for functions without; Lambda's own is 100."""
    start: float = 60.0
    """That loading the code may take; Lambda's own is 10, with a processor to itself."""
    idle: float = 300.0
    """After which an environment without a call ends."""
    life: float = 7200.0
    """After which an environment ends once its call is over."""
    retries: tuple[float, ...] = (60.0, 120.0)
    """Pauses before an event that failed, and that nobody waits for, is tried again."""
    waiting_events: int = 1000
    """Events waiting that nobody waits for; the next is refused with 429."""
