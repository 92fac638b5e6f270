"""Amounts of machine: what a type provides and what a demand asks for."""

from __future__ import annotations

from msgspec import Struct


class Resources(Struct, frozen=True, kw_only=True):
    """An amount: cores, memory, GPUs (or a share of one), enclave memory, burst credits, bandwidth."""

    vcpus: float = 0.0
    """Hardware threads."""
    memory_gib: float = 0.0
    gpus: float = 0.0
    """Devices; a fraction is a share of one."""
    gpu_kind: str = ""
    """The device's market name, such as V100; empty for none, or for any in a demand."""
    enclave_memory_gib: float = 0.0
    burst_credits_per_hour: float = 0.0
    """vCPU-minutes of full speed earned in an hour; 0 for a type that is not burstable."""
    bandwidth_gbps: float = 0.0

    def covers(self, needed: Resources) -> bool:
        """Whether this amount has everything that `needed` asks for."""
        return (
            self.vcpus >= needed.vcpus
            and self.memory_gib >= needed.memory_gib
            and self.gpus >= needed.gpus
            and needed.gpu_kind in ("", self.gpu_kind)
            and self.enclave_memory_gib >= needed.enclave_memory_gib
            and self.bandwidth_gbps >= needed.bandwidth_gbps
        )
