"""An endpoint as SageMaker's DescribeEndpoint tells of it."""

from __future__ import annotations

from typing import Any

from tradewind.serving.rollout.endpoint_record import Deployed
from tradewind.serving.rollout.update import Memory, Phase
from tradewind.serving.server.endpoints.endpoint import LiveEndpoint, SideAtWork

_VARIANT = {
    Phase.PROVISIONING: "Creating", Phase.BAKING: "Baking", Phase.RETURNING: "Deleting",
    Phase.STUCK: "Deleting",
}  # fmt: skip


def described(live: LiveEndpoint) -> dict[str, Any]:
    """The answer to DescribeEndpoint.

    While an update moves traffic a variant's current weight is its part of what its deployment has: with a
    tenth of the traffic moved, 0.9 of its weight before and 0.1 of its weight in the new deployment.
    """
    record, told = live.record, {}
    told = {
        "EndpointName": record.name,
        "EndpointArn": record.arn,
        "EndpointConfigName": record.blue.config,
        "EndpointStatus": record.status,
        "CreationTime": record.created,
        "LastModifiedTime": record.modified,
    }
    if record.status not in ("Creating", "Failed"):
        told["ProductionVariants"] = _variants(live.blue, live.blue.side.variants, None, 1.0 - live.share)
        if live.blue.side.shadows:
            told["ShadowProductionVariants"] = _variants(live.blue, live.blue.side.shadows, None)
    if record.failure:
        told["FailureReason"] = record.failure[:1024]
    if record.deployment is not None:
        told["LastDeploymentConfig"] = record.deployment
    capture = record.blue.capture
    if capture is not None:
        told["DataCaptureConfig"] = {
            "EnableCapture": capture.enable_capture,
            "CaptureStatus": "Started" if live.blue.capture is not None else "Stopped",
            "CurrentSamplingPercentage": capture.initial_sampling_percentage,
            "DestinationS3Uri": capture.destination_s3_uri,
            "KmsKeyId": "",
        }
    if live.green is not None and record.green is not None and record.update is not None:
        pending: dict[str, Any] = {
            "EndpointConfigName": record.green.config,
            "ProductionVariants": _variants(live.green, record.green.variants, record.update, live.share),
            "StartTime": record.update.began,
        }
        if record.green.shadows:
            pending["ShadowProductionVariants"] = _variants(live.green, record.green.shadows, record.update)
        told["PendingDeploymentSummary"] = pending
    return told


def watched(live: LiveEndpoint) -> dict[str, Any]:
    """What SageMaker does not tell: the share that has moved, alarms that ring, shadows, captures."""
    told: dict[str, Any] = {"name": live.name, "status": live.record.status, "share": live.share}
    memory = live.record.update
    if memory is not None:
        told["update"] = {"phase": memory.phase, "step": memory.step, "reason": memory.reason}
    told["alarms"] = live.alarms
    sides = [side for side in (live.blue, live.green) if side is not None]
    told["shadows"] = [
        {"variant": each.variant, "generation": side.side.generation, "counts": each.counts}
        for side in sides
        for each in side.shadows
    ]
    told["captures"] = [
        {
            "generation": side.side.generation, "written": side.capture.log.written,
            "lost": side.capture.log.lost, "destination": side.capture.log.destination,
        }
        for side in sides
        if side.capture is not None
    ]  # fmt: skip
    return told


def _variants(
    side: SideAtWork, variants: list[Deployed], update: Memory | None, share: float = 1.0
) -> list[dict[str, Any]]:
    found = []
    for each in variants:
        said: dict[str, Any] = {
            "VariantName": each.name,
            "CurrentWeight": each.weight * share,
            "DesiredWeight": each.weight,
            "CurrentInstanceCount": side.replicas_up(each) if side.ready else 0,
            "DesiredInstanceCount": each.instances,
        }
        if each.image:
            said["DeployedImages"] = [{"SpecifiedImage": each.image, "ResolvedImage": each.image}]
        if update is not None and update.phase in _VARIANT:
            status = _VARIANT[update.phase]
            if update.phase is Phase.PROVISIONING and update.step:
                status = "Updating"
            said["VariantStatus"] = [{"Status": status, "StartTime": update.since}]
        found.append(said)
    return found
