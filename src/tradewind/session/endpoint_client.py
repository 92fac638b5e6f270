"""The endpoints of a running server, from outside: SageMaker's control API with no SDK."""

from __future__ import annotations

import asyncio
import os
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from tradewind import clock
from tradewind.errors import Misuse, Permanent, Unreachable

SERVER = "http://127.0.0.1:8080"
_TIMEOUT, _POLL = 30.0, 0.2
_GOING = ("Creating", "Updating", "RollingBack", "SystemUpdating", "Deleting")
PLANS = ("all_at_once", "canary", "linear", "rolling")
ONLY = "AllTraffic"
"""The variant of an endpoint that has one."""


class VariantOf(Struct, frozen=True):
    """A variant to be made."""

    name: str
    artefact: str
    weight: float = 1.0


class Rollout(Struct, frozen=True, kw_only=True):
    """How an update goes about it."""

    plan: str = "all_at_once"
    size: int = 10
    """Percent of the capacity that a step moves."""
    bake: int = 0
    """Seconds after every step."""
    alarms: tuple[str, ...] = ()
    """Conditions that send everything back, such as `errors>5%`."""

    def told(self) -> dict[str, Any]:
        """SageMaker's `DeploymentConfig`."""
        if self.plan not in PLANS:
            raise Misuse(f"{self.plan!r} is no plan", field="plan", fix=f"Give one of {', '.join(PLANS)}.")
        size = {"Type": "CAPACITY_PERCENT", "Value": self.size}
        if self.plan == "rolling":
            rolling = {"MaximumBatchSize": size, "WaitIntervalInSeconds": self.bake}
            found: dict[str, Any] = {"RollingUpdatePolicy": rolling}
        else:
            routing: dict[str, Any] = {"Type": self.plan.upper(), "WaitIntervalInSeconds": self.bake}
            if self.plan != "all_at_once":
                routing["CanarySize" if self.plan == "canary" else "LinearStepSize"] = size
            found = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}
        if self.alarms:
            alarms = [{"AlarmName": each} for each in self.alarms]
            found["AutoRollbackConfiguration"] = {"Alarms": alarms}
        return found


class EndpointClient:
    """Calls the control API of the server at a URL; `token` is what it asks for, if it does.

    Every method raises Misuse for what the server refuses, and Unreachable where there is none.
    """

    def __init__(self, server: str = SERVER, token: str | None = None) -> None:
        self.server, self._token = server.rstrip("/"), token
        if not self.server.startswith(("http://", "https://")):
            raise Misuse(f"{server!r} is no URL", field="server", fix=f"Such as {SERVER}.")

    def call(self, operation: str, **told: Any) -> dict[str, Any]:
        """One operation of the API."""
        headers = {"X-Amz-Target": f"SageMaker.{operation}", "Content-Type": "application/x-amz-json-1.1"}
        return self._answered("/", headers, msgspec.json.encode(told))

    def watched(self, name: str) -> dict[str, Any]:
        """What SageMaker does not tell of an endpoint: the traffic moved, alarms, shadows, captures."""
        return self._answered(f"/endpoints/{quote(name, safe='')}", {}, None)

    def _answered(self, path: str, headers: dict[str, str], body: bytes | None) -> dict[str, Any]:
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(f"{self.server}{path}", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
                return msgspec.json.decode(answer.read() or b"{}", type=dict[str, Any])
        except urllib.error.HTTPError as refused:
            raise _problem(refused.code, refused.read(), self.server) from None
        except (urllib.error.URLError, OSError) as problem:
            raise Unreachable(f"no server answers at {self.server}: {problem}") from None
        except msgspec.DecodeError:
            raise Misuse("what answers there is no server of Tradewind", source=self.server) from None

    def create(
        self,
        name: str,
        variants: Sequence[VariantOf],
        *,
        replicas: int = 1,
        shadow: VariantOf | None = None,
        capture: str = "",
        sampling: int = 100,
    ) -> dict[str, Any]:
        """Begin to make an endpoint; it is told as it stands then.

        `capture` is where requests and answers are kept, `sampling` percent of them.
        """
        config = self._config(name, variants, replicas, shadow, capture, sampling)
        try:
            self.call("CreateEndpoint", EndpointName=name, EndpointConfigName=config)
        except Misuse:
            self._forget(config)
            raise
        return self.call("DescribeEndpoint", EndpointName=name)

    def update(
        self,
        name: str,
        variants: Sequence[VariantOf],
        rollout: Rollout | None = None,
        *,
        replicas: int | None = None,
        shadow: VariantOf | None = None,
    ) -> dict[str, Any]:
        """Begin to move an endpoint to other variants; without `replicas`, with as many as it has.

        What it captures it goes on to capture.
        """
        told = (rollout or Rollout()).told()
        before = self.call("DescribeEndpoint", EndpointName=name)
        there = [each["DesiredInstanceCount"] for each in before.get("ProductionVariants", ())]
        config = self._config(name, variants, replicas or max(there, default=1), shadow, "", 0)
        left = [{"VariantPropertyType": each} for each in ("DesiredInstanceCount", "DesiredWeight")]
        try:
            self.call(
                "UpdateEndpoint", EndpointName=name, EndpointConfigName=config, DeploymentConfig=told,
                RetainAllVariantProperties=True, ExcludeRetainedVariantProperties=left,
            )  # fmt: skip
        except Misuse:
            self._forget(config)
            raise
        return self.call("DescribeEndpoint", EndpointName=name)

    def reweigh(
        self, name: str, weights: Mapping[str, float], replicas: Mapping[str, int] | None = None
    ) -> dict[str, Any]:
        """Give variants other weights, or other replicas, where they are."""
        replicas = replicas or {}
        wanted: list[dict[str, Any]] = []
        for variant in dict.fromkeys([*weights, *replicas]):
            row: dict[str, Any] = {"VariantName": variant}
            if variant in weights:
                row["DesiredWeight"] = weights[variant]
            if variant in replicas:
                row["DesiredInstanceCount"] = replicas[variant]
            wanted.append(row)
        self.call("UpdateEndpointWeightsAndCapacities", EndpointName=name, DesiredWeightsAndCapacities=wanted)
        return self.call("DescribeEndpoint", EndpointName=name)

    def delete(self, name: str) -> None:
        """Begin to delete an endpoint."""
        self.call("DeleteEndpoint", EndpointName=name)

    def all(self) -> list[dict[str, Any]]:
        """Every endpoint as DescribeEndpoint tells it, by name."""
        found: list[dict[str, Any]] = []
        token: dict[str, str] = {}
        while True:
            listed = self.call("ListEndpoints", SortBy="Name", SortOrder="Ascending", MaxResults=100, **token)
            for each in listed["Endpoints"]:
                try:
                    found.append(self.call("DescribeEndpoint", EndpointName=each["EndpointName"]))
                except Misuse:
                    continue  # it was deleted meanwhile
            if "NextToken" not in listed:
                return found
            token = {"NextToken": listed["NextToken"]}

    def settled(self, name: str, seconds: float) -> dict[str, Any]:
        """The endpoint once nothing is under way with it; empty if it was deleted.

        Permanent where it failed or its update went back, Unreachable where it is not done within `seconds`.
        """

        async def wait() -> dict[str, Any]:
            end = clock.now() + seconds
            while True:
                found = await asyncio.to_thread(self._found, name)
                if not found or found["EndpointStatus"] not in _GOING:
                    return found
                if clock.now() > end:
                    status = found["EndpointStatus"]
                    raise Unreachable(f"endpoint {name} is still {status} after {seconds:g} s")
                await asyncio.sleep(_POLL)

        found = clock.run(wait())
        if found.get("FailureReason"):
            raise Permanent(f"endpoint {name} is {found['EndpointStatus']}: {found['FailureReason']}")
        return found

    def _found(self, name: str) -> dict[str, Any]:
        try:
            return self.call("DescribeEndpoint", EndpointName=name)
        except Misuse as problem:
            if "Could not find endpoint" in str(problem):
                return {}
            raise

    def _config(
        self,
        name: str,
        variants: Sequence[VariantOf],
        replicas: int,
        shadow: VariantOf | None,
        capture: str,
        sampling: int,
    ) -> str:
        """Make a configuration, and the models that it names; what was begun is forgotten on a refusal."""
        config = f"{name[:40]}-{os.urandom(6).hex()}"
        more: dict[str, Any] = {}
        try:
            told = [self._variant(config, each, replicas) for each in variants]
            if shadow is not None:
                more["ShadowProductionVariants"] = [self._variant(config, shadow, replicas)]
            if capture:
                more["DataCaptureConfig"] = {
                    "EnableCapture": True, "InitialSamplingPercentage": sampling,
                    "DestinationS3Uri": _absolute(capture),
                    "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
                }  # fmt: skip
            self.call("CreateEndpointConfig", EndpointConfigName=config, ProductionVariants=told, **more)
        except Misuse:
            self._forget(config)
            raise
        return config

    def _variant(self, config: str, variant: VariantOf, replicas: int) -> dict[str, Any]:
        model = f"{config}-{variant.name}"[:63].rstrip("-")
        self.call(
            "CreateModel", ModelName=model, PrimaryContainer={"ModelDataUrl": _absolute(variant.artefact)}
        )
        return {
            "VariantName": variant.name, "ModelName": model, "InitialInstanceCount": replicas,
            "InitialVariantWeight": variant.weight,
        }  # fmt: skip

    def _forget(self, config: str) -> None:
        """Remove a configuration that came to nothing, and its models."""
        for model in self.call("ListModels", NameContains=config, MaxResults=100)["Models"]:
            self.call("DeleteModel", ModelName=model["ModelName"])
        for each in self.call("ListEndpointConfigs", NameContains=config)["EndpointConfigs"]:
            self.call("DeleteEndpointConfig", EndpointConfigName=each["EndpointConfigName"])


def _absolute(address: str) -> str:
    """An address as the server means it: a path is absolute, for the server was started elsewhere."""
    return address if "://" in address else str(Path(address).absolute())


def _problem(status: int, body: bytes, server: str) -> Misuse | Unreachable | Permanent:
    try:
        said = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        said = {}
    message = str(said.get("message") or said.get("error") or body[:200].decode(errors="replace"))
    if status in (401, 403):
        return Misuse("the server asks for another token", source=server, field="token", fix="Give it.")
    if status in (404, 405) and "__type" not in said:
        return Misuse(
            "the server has no endpoints", source=server, field="server",
            fix="Start it with --endpoints FOLDER.",
        )  # fmt: skip
    if status == 503:
        return Unreachable(message)
    return Misuse(message) if status < 500 else Permanent(message)
