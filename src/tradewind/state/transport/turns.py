"""Clients in threads of one process that take turns: the same seed, the same order of their messages.

Where workers do not wait for each other, what they learn depends on whose message came first. Here that is
drawn from a seed, so that it is the same again.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence

from tradewind.state.messages import Message
from tradewind.state.transport.inprocess import InProcess, InProcessChannel
from tradewind.state.transport.interface import Channel


class Turns:
    """Runs clients of one server, a thread each, of which one goes on at any moment.

    The turn may pass wherever a client listens for an answer, to any whose answer is there.
    """

    def __init__(self, hub: InProcess, seed: int) -> None:
        self._hub = hub
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._running = 0
        self._waiting: dict[int, TurnChannel] = {}

    def run(self, clients: Sequence[Callable[[Channel], None]]) -> None:
        """Call each with a channel of its own, and return when all have returned; they raise nothing."""
        channels = [TurnChannel(self, index, self._hub.channel()) for index in range(len(clients))]

        def main(client: Callable[[Channel], None], channel: TurnChannel) -> None:
            channel.wait()
            try:
                client(channel)
            finally:
                self._pass_on()

        threads = [
            threading.Thread(target=main, args=pair, daemon=True)
            for pair in zip(clients, channels, strict=True)
        ]
        self._running = len(threads)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def give(self, channel: TurnChannel) -> None:
        """Let another go on, or the same, as chance has it; returns when the turn is back."""
        with self._lock:
            self._waiting[channel.index] = channel
        self._pass_on()
        channel.turn.acquire()

    def _pass_on(self) -> None:
        """One fewer runs; if it was the last, another goes on."""
        with self._lock:
            self._running -= 1
            if self._running or not self._waiting:
                return
            answered = sorted(index for index, each in self._waiting.items() if each.answered)
            # if all wait in vain, each looks after its own patience
            chosen = self._waiting.pop(self._chance.choice(answered or sorted(self._waiting)))
            self._running = 1
            chosen.turn.release()


class TurnChannel:
    """A client's side of `Turns`; used by the client's own thread."""

    def __init__(self, turns: Turns, index: int, channel: InProcessChannel) -> None:
        self.index = index
        self.turn = threading.Semaphore(0)
        self._turns, self._channel = turns, channel
        self._listens = False

    @property
    def answered(self) -> bool:
        """Whether the client can go on: there is a message for it, or it does not wait for one."""
        return not self._listens or not self._channel.inbox.empty()

    def wait(self) -> None:
        """Before the client begins: wait for its first turn."""
        self._turns.give(self)

    def send(self, message: Message) -> None:
        """Hand the frames to the server; it keeps the turn."""
        self._channel.send(message)

    def receive(self, timeout: float) -> Message | None:
        """The next message; None at once where there is none to wait for, or after `timeout` if all wait."""
        self._listens = timeout > 0
        self._turns.give(self)
        return self._channel.receive(timeout)

    def reconnect(self) -> None:
        """Nothing to do: no message is ever lost."""

    def close(self) -> None:
        """Nothing to do."""
