"""What may be asked of endpoints: the part of SageMaker's control API that is read, as checked values.

Amazon SageMaker API, 2017-07-24. Fields that change nothing here (roles, networks, keys, tags) are kept and
told again, and are not among these; those that ask for what there is not are refused, by name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from tradewind.errors import Misuse

T = TypeVar("T")
Name = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}\Z")]
Count = Annotated[int, Meta(ge=1, le=1000)]
Seconds = Annotated[int, Meta(ge=0, le=3600)]
Maximum = Annotated[int, Meta(ge=600, le=28800)]


class _Value(Struct, frozen=True, rename="pascal"):
    """One structure of the API."""


class S3Source(_Value, frozen=True):
    """Where an artefact lies."""

    s3_uri: str = field(name="S3Uri")
    s3_data_type: Literal["S3Prefix", "S3Object"] = field(name="S3DataType", default="S3Prefix")
    compression_type: Literal["None", "Gzip"] = "None"


class ModelSource(_Value, frozen=True):
    """An artefact that may be a whole folder."""

    s3_data_source: S3Source = field(name="S3DataSource")


class Container(_Value, frozen=True):
    """What a model is made of. The image is kept and told again; the artefact decides what serves it."""

    image: str = ""
    mode: Literal["SingleModel", "MultiModel"] = "SingleModel"
    model_data_url: str = ""
    model_data_source: ModelSource | None = None
    environment: dict[str, str] = {}

    @property
    def artefact(self) -> str:
        """The address of the artefact; empty where none is named."""
        return self.model_data_source.s3_data_source.s3_uri if self.model_data_source else self.model_data_url


class CreateModel(_Value, frozen=True):
    """A model: an artefact under a name."""

    model_name: Name
    primary_container: Container | None = None
    containers: list[Container] = []


class Variant(_Value, frozen=True):
    """A model with its own replicas and weight."""

    variant_name: Name
    model_name: Name
    initial_instance_count: Count = 1
    initial_variant_weight: Annotated[float, Meta(ge=0)] = 1.0


class CaptureOption(_Value, frozen=True):
    """What is captured."""

    capture_mode: Literal["Input", "Output", "InputAndOutput"]


class DataCapture(_Value, frozen=True):
    """Which requests and answers are kept, and where."""

    initial_sampling_percentage: Annotated[int, Meta(ge=0, le=100)]
    destination_s3_uri: str = field(name="DestinationS3Uri")
    capture_options: Annotated[list[CaptureOption], Meta(min_length=1, max_length=32)]
    enable_capture: bool = False


class AsyncClient(_Value, frozen=True):
    """How many calls at a time each replica gets of those that are answered later."""

    max_concurrent_invocations_per_instance: Count = 4


class AsyncOutput(_Value, frozen=True):
    """Where answers go that are given later, and failures where that is another place."""

    s3_output_path: Annotated[str, Meta(min_length=1)] = field(name="S3OutputPath")
    s3_failure_path: str = field(name="S3FailurePath", default="")


class AsyncInference(_Value, frozen=True):
    """Calls that are answered later, from objects into objects."""

    output_config: AsyncOutput
    client_config: AsyncClient = AsyncClient()


class CreateEndpointConfig(_Value, frozen=True):
    """Variants that one endpoint may have."""

    endpoint_config_name: Name
    production_variants: Annotated[list[Variant], Meta(min_length=1, max_length=10)]
    shadow_production_variants: Annotated[list[Variant], Meta(max_length=10)] = []
    data_capture_config: DataCapture | None = None
    async_inference_config: AsyncInference | None = None


class CapacitySize(_Value, frozen=True):
    """So many instances, or so many percent of them."""

    type: Literal["INSTANCE_COUNT", "CAPACITY_PERCENT"]
    value: Annotated[int, Meta(ge=1)]


class TrafficRouting(_Value, frozen=True):
    """How traffic moves between two whole fleets."""

    type: Literal["ALL_AT_ONCE", "CANARY", "LINEAR"]
    wait_interval_in_seconds: Seconds
    canary_size: CapacitySize | None = None
    linear_step_size: CapacitySize | None = None


class BlueGreen(_Value, frozen=True):
    """A new fleet beside the old one, and traffic moved between them."""

    traffic_routing_configuration: TrafficRouting
    termination_wait_in_seconds: Seconds = 0
    maximum_execution_timeout_in_seconds: Maximum = 14400


class Rolling(_Value, frozen=True):
    """Instances replaced batch by batch."""

    maximum_batch_size: CapacitySize
    wait_interval_in_seconds: Seconds
    maximum_execution_timeout_in_seconds: Maximum = 14400
    rollback_maximum_batch_size: CapacitySize | None = None


class AlarmName(_Value, frozen=True):
    """An alarm by its name."""

    alarm_name: str


class AutoRollback(_Value, frozen=True):
    """What sends an update back."""

    alarms: Annotated[list[AlarmName], Meta(max_length=10)] = []


class DeploymentConfig(_Value, frozen=True):
    """How an update goes about it."""

    blue_green_update_policy: BlueGreen | None = None
    rolling_update_policy: Rolling | None = None
    auto_rollback_configuration: AutoRollback | None = None


class CreateEndpoint(_Value, frozen=True):
    """An endpoint with the variants of a configuration."""

    endpoint_name: Name
    endpoint_config_name: Name
    deployment_config: DeploymentConfig | None = None


class VariantProperty(_Value, frozen=True):
    """What of a variant an update does not keep."""

    variant_property_type: Literal["DesiredInstanceCount", "DesiredWeight", "DataCaptureConfig"]


class UpdateEndpoint(_Value, frozen=True):
    """Another configuration for an endpoint."""

    endpoint_name: Name
    endpoint_config_name: Name
    retain_all_variant_properties: bool = False
    exclude_retained_variant_properties: list[VariantProperty] = []
    deployment_config: DeploymentConfig | None = None
    retain_deployment_config: bool = False


class DesiredWeight(_Value, frozen=True):
    """Another weight, or another number of replicas, of one variant."""

    variant_name: Name
    desired_weight: Annotated[float, Meta(ge=0)] | None = None
    desired_instance_count: Count | None = None


class UpdateWeights(_Value, frozen=True):
    """Other weights and replicas, with the same models."""

    endpoint_name: Name
    desired_weights_and_capacities: Annotated[list[DesiredWeight], Meta(min_length=1)]


_KINDS = ("file", "s3", "gs", "gcs", "memory")
"""Of addresses that are taken: no caller makes the server ask others over HTTP."""


def check_address(address: str, field: str) -> None:
    """Misuse unless it is a path or an address of a kind that is taken.

    >>> check_address("s3://bucket/model.tar.gz", "ModelDataUrl")
    """
    kind, found, _ = address.partition("://")
    if "\0" in address or "::" in address or (found and kind not in _KINDS):
        raise Misuse(
            f"{address[:80]!r} is no address that is taken", field=field,
            fix=f"Give a path, or one of {', '.join(f'{each}://' for each in _KINDS)}.",
        )  # fmt: skip


_NOT_HERE: dict[str, str] = {
    "InferenceExecutionConfig": "a model here is one container",
    "NotificationConfig": "nobody is notified; look at the output's location",
    "ExplainerConfig": "models here have no explainer",
    "ServerlessConfig": "a variant here has replicas; give InitialInstanceCount",
    "ManagedInstanceScaling": "replicas are scaled by the server's policy; give InitialInstanceCount",
    "MultiModelConfig": "a model here is one artefact",
    "ModelPackageName": "there are no model packages; give ModelDataUrl",
    "InferenceSpecificationName": "there are no model packages; give ModelDataUrl",
    "ModelReferenceArn": "there is no hub; give ModelDataUrl",
}


def read(told: Any, kind: type[T]) -> T:
    """A request of the API as a checked value; Misuse, naming the field, where it is none, or not served."""
    if found := _unserved(told):
        raise Misuse(f"{found} is not served: {_NOT_HERE[found]}", field=found)
    try:
        return msgspec.convert(told, kind)
    except msgspec.ValidationError as problem:
        raise Misuse(f"1 validation error detected: {problem}") from None


def _unserved(told: Any) -> str:
    if isinstance(told, dict):
        for key, value in told.items():
            if key in _NOT_HERE and value not in (None, {}, []):
                return str(key)
            if found := _unserved(value):
                return found
    elif isinstance(told, list):
        for value in told:
            if found := _unserved(value):
                return found
    return ""
