"""The main of an active host: begins with nothing, and serves the shards of a job's state that it is given.

It may be killed at any instruction: what it serves is backed up by the reliable host, behind by a round at
most. Given notice, it goes on until its shards were taken over, since whoever asked it to leave sees to that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tradewind.state.server import serve
from tradewind.state.shard_host import ShardHost
from tradewind.state.transport.zeromq import ZeroMQChannel, ZeroMQListener


def main(arguments: dict[str, Any], leaving: Callable[[], bool]) -> None:
    """Serve at `arguments["address"]` what it is given to serve."""
    listener = ZeroMQListener(arguments["address"])
    host = ShardHost.active(ZeroMQChannel)
    try:
        serve(host, listener, stop=lambda: leaving() and not host.shards)
    finally:
        listener.close()
