"""How fast training jobs were measured to run on devices: alone, and two sharing one device."""

from __future__ import annotations

from collections.abc import Mapping

from tradewind.errors import Misuse, suggestion


class Throughputs:
    """Steps a second by device, job, and the job beside it.

    `alone` is device to job to steps a second; `shared` is device to (job, other) to the steps a second of
    both, where 0 means that the two do not fit the device together.
    """

    def __init__(
        self,
        name: str,
        alone: Mapping[str, Mapping[str, float]],
        shared: Mapping[str, Mapping[tuple[str, str], tuple[float, float]]],
    ) -> None:
        self.name, self._alone, self._shared = name, alone, shared

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices measured, in order."""
        return tuple(sorted(self._alone))

    def jobs(self, device: str) -> tuple[str, ...]:
        """The jobs measured on a device, in order. Misuse for an unknown device."""
        return tuple(sorted(self._on(device)))

    def alone(self, device: str, job: str) -> float:
        """Steps a second of `job` with the device to itself. Misuse for what was not measured."""
        rates = self._on(device)
        if job not in rates:
            raise Misuse(
                f"{job!r} was not measured on {device}",
                source=self.name,
                field="job",
                fix=suggestion(job, rates),
            )
        return rates[job]

    def together(self, device: str, job: str, other: str) -> tuple[float, float] | None:
        """Steps a second of `job` and of `other` on one device; None where the pair does not fit.

        Misuse for what was not measured.
        """
        self.alone(device, job)
        self.alone(device, other)
        pair = self._shared[device].get((job, other))
        if pair is None:
            raise Misuse(
                f"{job!r} was not measured beside {other!r} on {device}",
                source=self.name,
                field="job",
                fix="Choose a measured pair.",
            )
        return None if pair == (0.0, 0.0) else pair

    def _on(self, device: str) -> Mapping[str, float]:
        if device not in self._alone:
            raise Misuse(
                f"{device!r} was not measured",
                source=self.name,
                field="device",
                fix=suggestion(device, self._alone),
            )
        return self._alone[device]
