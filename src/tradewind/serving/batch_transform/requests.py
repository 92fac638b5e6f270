"""What may be asked of a transform job: the part of SageMaker's API that is read, as checked values."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from tradewind.errors import Misuse
from tradewind.serving.batch_transform.json_path import path
from tradewind.serving.batch_transform.records import CSV, JSON, LINES, Processing, kind_of
from tradewind.serving.rollout.requests import Count, Name


class _Value(Struct, frozen=True, rename="pascal"):
    """One structure of the API."""


class S3Source(_Value, frozen=True):
    """Where the objects lie: under all keys that begin with it."""

    s3_uri: str = field(name="S3Uri")
    s3_data_type: Literal["S3Prefix", "ManifestFile", "AugmentedManifestFile"] = field(
        name="S3DataType", default="S3Prefix"
    )


class DataSource(_Value, frozen=True):
    """Where the objects are."""

    s3_data_source: S3Source = field(name="S3DataSource")


class TransformInput(_Value, frozen=True):
    """The objects, and how they are cut apart."""

    data_source: DataSource
    content_type: str = ""
    compression_type: Literal["None", "Gzip"] = "None"
    split_type: Literal["None", "Line", "RecordIO", "TFRecord"] = "None"


class TransformOutput(_Value, frozen=True):
    """Where the answers go, and how they are put together."""

    s3_output_path: Annotated[str, Meta(min_length=1)] = field(name="S3OutputPath")
    accept: str = ""
    assemble_with: Literal["None", "Line"] = "None"


class TransformResources(_Value, frozen=True):
    """Replicas of the model."""

    instance_type: str
    instance_count: Count


class DataProcessing(_Value, frozen=True):
    """Filters, and the join."""

    input_filter: str = "$"
    output_filter: str = "$"
    join_source: Literal["None", "Input"] = "None"


class ModelClientConfig(_Value, frozen=True):
    """How long one payload may take, and how often it is tried again."""

    invocations_timeout_in_seconds: Annotated[int, Meta(ge=1, le=3600)] = 600
    invocations_max_retries: Annotated[int, Meta(ge=0, le=3)] = 0


class CreateTransformJob(_Value, frozen=True):
    """A job."""

    transform_job_name: Name
    model_name: Name
    transform_input: TransformInput
    transform_output: TransformOutput
    transform_resources: TransformResources
    max_concurrent_transforms: Annotated[int, Meta(ge=0)] = 1
    model_client_config: ModelClientConfig = ModelClientConfig()
    max_payload: Annotated[int, Meta(ge=0)] = field(name="MaxPayloadInMB", default=6)
    batch_strategy: Literal["MultiRecord", "SingleRecord"] = "MultiRecord"
    data_processing: DataProcessing = DataProcessing()

    def processing(self) -> Processing:
        """The filters, read; Misuse where they, or what they go with, cannot be served."""
        split = self.transform_input.split_type
        if split in ("RecordIO", "TFRecord"):
            raise Misuse(f"{split} is not served", field="SplitType", fix="Give Line or None.")
        if self.transform_input.data_source.s3_data_source.s3_data_type != "S3Prefix":
            raise Misuse("manifests are not served", field="S3DataType", fix="Give S3Prefix.")
        asked = self.data_processing
        found = Processing(path(asked.input_filter), path(asked.output_filter), asked.join_source == "Input")
        kind = kind_of(self.transform_input.content_type)
        accept = kind_of(self.transform_output.accept or self.transform_input.content_type)
        if found.reads and kind not in (CSV, JSON, LINES):
            raise Misuse("goes with CSV or JSON only", field="DataProcessing", fix="Give a ContentType.")
        if found.reads and (accept == CSV) != (kind == CSV):
            raise Misuse("goes with the same kind of input and output", field="Accept", fix="Leave it out.")
        if found.reads and split == "None" and kind in (CSV, LINES):
            raise Misuse("goes with records cut apart", field="SplitType", fix="Give Line.")
        return found
