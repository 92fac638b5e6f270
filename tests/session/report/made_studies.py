"""Studies that were never run: their stores are real, their trials made up, so that each number is known."""

import math

import numpy as np

from tradewind.data.trial_records import StoredTrial
from tradewind.data.trial_store import TrialStore
from tradewind.tuning.space import Space
from tradewind.tuning.space_documents import described

START = 1.6e9
SPACE = Space.of(
    {
        "rate": {"low": 1e-4, "high": 1e-1, "log": True},
        "layers": {"low": 1, "high": 5},
        "optimizer": ["sgd", "adam", "ftrl"],
        "momentum": {"low": 0.0, "high": 0.99, "when": {"optimizer": "sgd"}},
    }
)
OFFERS = ("r4.large@us-east-1a spot", "m4.xlarge@us-east-1b spot", "p2.xlarge@us-east-1a on demand")


def value(setting, step: int) -> float:
    """The loss at a step; the rate matters most."""
    away = math.log10(setting["rate"]) + 2.2
    worse = {"sgd": 0.08, "adam": 0.0, "ftrl": 0.15}[setting["optimizer"]]
    return 0.25 + 0.4 * away**2 + 0.03 * abs(setting["layers"] - 3) + worse + 1.2 / (1 + 0.3 * step)


def opened(name: str = "made", space: Space | None = SPACE, direction: str = "minimize") -> TrialStore:
    """A store in memory with an empty study."""
    store = TrialStore("sqlite://")
    document = {"direction": direction} | ({} if space is None else {"space": described(space)})
    store.create(name, document, moment=START - 1000)
    return store


def curves(count: int, steps: int = 20, *, direction: str = "minimize", completed: int = 3) -> TrialStore:
    """Trials without moments, one in `completed` completed and the others stopped at step 8."""
    store, sign = opened(direction=direction), -1.0 if direction == "maximize" else 1.0
    chance = np.random.default_rng(4)
    for number in range(count):
        setting = SPACE.setting(chance.random(len(SPACE)))
        length = steps if number % completed == 0 else 8
        told = tuple(
            sign * (value(setting, k) + 0.002 * chance.standard_normal()) for k in range(1, length + 1)
        )
        done = length == steps
        store.insert(
            "made",
            StoredTrial(
                number, setting, "completed" if done else "stopped", tuple(range(1, length + 1)), told,
                told[-1] if done else None, 0.01 * length, 2.0 * length,
                reason="" if done else "it is behind",
            ),
        )  # fmt: skip
    return store


def eventful() -> TrialStore:
    """Five trials on three machines: revoked, moved, paused, killed by request, failed, stopped, running."""
    store = opened()
    spent: dict[int, float] = {}

    def added(number: int, **setting) -> None:
        store.add("made", setting, number=number, moment=START + number)

    def run(number: int, at: float, steps, machine: int, seconds: float = 10.0, price: float = 0.01, **odd):
        claim = store.claim("made", f"driver {machine}", moment=START + at, number=number)
        store.assign(claim, OFFERS[machine], seconds, moment=START + at)
        for step in steps:
            at += seconds
            spent[number] = spent.get(number, 0.0) + price
            loss = odd.get(f"at{step}", 1.0 / (step + number))
            store.report(claim, step, loss, dollars=spent[number], seconds=10.0 * step, moment=START + at)
            if step % 4 == 0:
                store.checkpoint(claim, step, f"{number} at {step}", moment=START + at)
        return claim, at

    added(0, rate=0.01, layers=3, optimizer="adam")
    added(1, rate=0.1, layers=1, optimizer="sgd", momentum=0.5)
    added(2, rate=0.001, layers=5, optimizer="ftrl")
    added(3, rate=0.02, layers=2, optimizer="adam")
    added(4, rate=0.03, layers=4, optimizer="sgd", momentum=0.9)
    claim, at = run(0, 100, range(1, 7), 0)
    store.requeue(claim, "the market wants it back", "revocation", moment=START + at)
    claim, at = run(0, at + 60, range(5, 11), 1)  # from the checkpoint of step 4
    store.requeue(claim, "cheaper there", "move", moment=START + at)
    claim, at = run(0, at + 20, range(9, 21), 2)
    store.finish(claim, "completed", 0.05, moment=START + at)
    claim, at = run(1, 100, range(1, 6), 1, price=0.02)
    store.finish(claim, "stopped", reason="at 5 of 20 steps it is behind", moment=START + at)
    claim, at = run(2, 110, range(1, 5), 2, price=0.0)
    store.stop("made", 2, "it smells <of> trouble", moment=START + at)
    store.finish(claim, "stopped", reason="it smells <of> trouble", moment=START + at + 1)
    claim, at = run(3, 120, range(1, 4), 0, at2=math.nan)
    store.finish(claim, "failed", reason="ValueError: <no> data", moment=START + at)
    claim, at = run(4, 130, range(1, 9), 0)
    store.pause(claim, "it is compared", moment=START + at)
    store.resume("made", 4, "it goes on", moment=START + at + 50)
    run(4, at + 80, range(9, 13), 0)
    store.note("made", "a note <for> all", moment=START + 1000)
    return store
