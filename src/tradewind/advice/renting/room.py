"""How much of an instance is free, GPU by GPU.

A share of a device must fit on one device: two free halves on two devices carry no task that asks for
0.8. Shares go to the fullest device that has them, so that whole ones stay whole (best fit).
"""

from __future__ import annotations

from msgspec import Struct

from tradewind.market.resources import Resources

_SLACK = 1e-9


class Room(Struct, frozen=True):
    """What is free of an instance."""

    vcpus: float
    memory_gib: float
    devices: tuple[float, ...] = ()
    """The free share of each GPU, the fullest first."""
    gpu_kind: str = ""

    def fits(self, asked: Resources) -> bool:
        """Whether a task that asks for this may be put there."""
        if asked.vcpus > self.vcpus + _SLACK or asked.memory_gib > self.memory_gib + _SLACK:
            return False
        if not asked.gpus:
            return True
        if asked.gpu_kind and asked.gpu_kind != self.gpu_kind:
            return False
        if asked.gpus < 1:
            return bool(self.devices) and self.devices[-1] >= asked.gpus - _SLACK
        count = int(asked.gpus)
        return len(self.devices) >= count and self.devices[-count] >= 1 - _SLACK

    def without(self, asked: Resources) -> Room:
        """What is left when a task is put there; the caller asked `fits` before."""
        devices = self.devices
        if asked.gpus >= 1:
            count = int(asked.gpus)
            devices = (0.0,) * count + devices[:-count]
        elif asked.gpus:
            at = next(at for at, free in enumerate(devices) if free >= asked.gpus - _SLACK)
            devices = tuple(sorted((*devices[:at], max(0.0, devices[at] - asked.gpus), *devices[at + 1 :])))
        return Room(self.vcpus - asked.vcpus, self.memory_gib - asked.memory_gib, devices, self.gpu_kind)

    @property
    def gpus(self) -> float:
        """Devices that are free, shares added up."""
        return sum(self.devices)


def whole(resources: Resources) -> Room:
    """The room of an instance on which nothing runs."""
    return Room(resources.vcpus, resources.memory_gib, (1.0,) * int(resources.gpus), resources.gpu_kind)


def fullness(asked: Resources, of: Resources) -> float:
    """The share that a task takes of the amount that it takes most of: its constraining resource."""
    share = 0.0
    for wanted, there in (
        (asked.vcpus, of.vcpus), (asked.memory_gib, of.memory_gib), (asked.gpus, of.gpus),
    ):  # fmt: skip
        if wanted > 0:
            share = max(share, wanted / there) if there else float("inf")
    return share


def used_shares(room: Room, of: Resources) -> tuple[float, float, float]:
    """The shares of cores, memory and GPUs of an instance that are taken."""
    return (
        1 - room.vcpus / of.vcpus if of.vcpus else 0.0,
        1 - room.memory_gib / of.memory_gib if of.memory_gib else 0.0,
        1 - room.gpus / of.gpus if of.gpus else 0.0,
    )
