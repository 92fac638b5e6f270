"""What is known of an endpoint, as it is kept on disk."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tradewind.serving.rollout.requests import AsyncInference, DataCapture
from tradewind.serving.rollout.update import Memory


class Deployed(Struct):
    """A variant that is at work: a model's artefact with its replicas and its weight."""

    name: str
    model: str
    """The model's name in the control API."""
    artefact: str
    """Its address."""
    image: str = ""
    instances: int = 1
    weight: float = 1.0


class Side(Struct):
    """The variants of one configuration, as one deployment of it."""

    generation: int
    """From 1; no two deployments of an endpoint have the same."""
    config: str
    variants: list[Deployed]
    shadows: list[Deployed] = []
    capture: DataCapture | None = None
    later: AsyncInference | None = None

    @property
    def instances(self) -> int:
        """Replicas of all variants together."""
        return sum(each.instances for each in self.variants)


class EndpointRecord(Struct):
    """An endpoint: `blue` has the traffic; `green`, during an update, is on its way to have it."""

    name: str
    arn: str
    created: float
    modified: float
    status: str
    """As SageMaker names it."""
    blue: Side
    failure: str = ""
    """Why it failed, or why the last update went back."""
    green: Side | None = None
    update: Memory | None = None
    deployment: dict[str, Any] | None = None
    """The `DeploymentConfig` of the last update, as it was given."""
    deployed: int = 1
    """Deployments so far."""


def model_name(endpoint: str, side: Side, variant: Deployed) -> str:
    """What the engine calls the model of a variant."""
    return f"{endpoint}.{variant.name}.{side.generation}"
