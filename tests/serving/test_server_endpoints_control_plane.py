"""The control plane beside moto's: the same calls give the same shapes, states and errors."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from endpoint_stage import client, endpoint_server, times, waited
from moto.server import ThreadedMotoServer

ROLE = "arn:aws:iam::000000000000:role/any"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A client of ours, one of moto's, and an artefact."""
    folder = tmp_path_factory.mktemp("pair")
    artefact = times(folder / "two.onnx", 2)
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    try:
        with endpoint_server(folder / "server") as server:
            yield server.control, client("sagemaker", f"{host}:{port}"), artefact
    finally:
        moto.stop()


def kinds(value):
    """What is told, by field: the kind of every value."""
    if isinstance(value, dict):
        return {key: kinds(each) for key, each in value.items() if key != "ResponseMetadata"}
    if isinstance(value, list):
        return [kinds(each) for each in value]
    return type(value).__name__


def test_a_life_in_both(pair) -> None:
    ours, theirs, artefact = pair
    told = []
    for control in (ours, theirs):
        found = {}
        container = {"Image": "registry/onnx:1", "ModelDataUrl": artefact, "Environment": {"A": "b"}}
        found["model"] = control.create_model(
            ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer=container
        )
        found["model told"] = control.describe_model(ModelName="m")
        variants = [
            {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1,
             "InitialVariantWeight": 2.0}
        ]  # fmt: skip
        found["config"] = control.create_endpoint_config(EndpointConfigName="c", ProductionVariants=variants)
        found["config told"] = control.describe_endpoint_config(EndpointConfigName="c")
        found["endpoint"] = control.create_endpoint(EndpointName="e", EndpointConfigName="c")
        waited(control, "endpoint_in_service", EndpointName="e")
        found["endpoint told"] = control.describe_endpoint(EndpointName="e")
        for image in found["endpoint told"]["ProductionVariants"]:
            image.pop("DeployedImages", None)  # moto keeps none
        found["weights"] = control.update_endpoint_weights_and_capacities(
            EndpointName="e", DesiredWeightsAndCapacities=[{"VariantName": "v", "DesiredWeight": 5.0}]
        )
        waited(control, "endpoint_in_service", EndpointName="e")
        (variant,) = control.describe_endpoint(EndpointName="e")["ProductionVariants"]
        assert variant["DesiredWeight"] == 5.0
        found["models"] = control.list_models()
        found["endpoints"] = control.list_endpoints()
        (listed,) = found["endpoints"]["Endpoints"]
        assert (listed["EndpointName"], listed["EndpointStatus"]) == ("e", "InService")
        control.delete_endpoint(EndpointName="e")
        waited(control, "endpoint_deleted", EndpointName="e")
        control.delete_endpoint_config(EndpointConfigName="c")
        control.delete_model(ModelName="m")
        told.append(found)
    mine, motos = told
    for call, said in kinds(motos).items():
        assert _within(said, kinds(mine)[call]), (call, said, kinds(mine)[call])
    for call in ("model", "config", "endpoint"):
        arns = [value for each in told for key, value in each[call].items() if key.endswith("Arn")]
        arn, other = arns
        assert arn.replace("000000000000", "123456789012") == other


def _within(part, whole):
    """Whether everything that moto tells of a kind ours tells too; tags, roles and empty fields apart."""
    if isinstance(part, dict):
        return all(
            key in whole and _within(each, whole[key])
            for key, each in part.items()
            if key not in ("Tags", "VpcConfig", "DataCaptureConfig", "KmsKeyId", "EnableNetworkIsolation")
            and each not in ([], {})
        )
    if isinstance(part, list):
        return len(part) == len(whole) and all(_within(*each) for each in zip(part, whole, strict=True))
    return part == whole


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("describe_model", {"ModelName": "none"}),
        ("describe_endpoint", {"EndpointName": "none"}),
        ("describe_endpoint_config", {"EndpointConfigName": "none"}),
        ("delete_model", {"ModelName": "none"}),
        ("delete_endpoint", {"EndpointName": "none"}),
        ("describe_transform_job", {"TransformJobName": "none"}),
    ],
)
def test_what_is_not_there_in_both(pair, call, arguments) -> None:
    codes = []
    for control in pair[:2]:
        with pytest.raises(ClientError) as raised:
            getattr(control, call)(**arguments)
        codes.append(raised.value.response["Error"]["Code"].replace("ValidationException", "ValidationError"))
        assert "not find" in raised.value.response["Error"]["Message"]
    assert codes[0] == codes[1]


def test_a_transform_job_in_both(pair, tmp_path) -> None:
    (tmp_path / "in.csv").write_text("1,2\n")
    told = []
    for control, source in ((pair[0], str(tmp_path / "in.csv")), (pair[1], "s3://bucket/in.csv")):
        control.create_model(ModelName="t", ExecutionRoleArn=ROLE, PrimaryContainer={"ModelDataUrl": pair[2]})
        control.create_transform_job(
            TransformJobName="j", ModelName="t", MaxPayloadInMB=1,
            TransformInput={
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": source}},
                "ContentType": "text/csv", "SplitType": "Line",
            },
            TransformOutput={"S3OutputPath": str(tmp_path / "out")},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        )  # fmt: skip
        waited(control, "transform_job_completed_or_stopped", TransformJobName="j")
        told.append(control.describe_transform_job(TransformJobName="j"))
    mine, motos = told
    assert mine["TransformJobStatus"] == motos["TransformJobStatus"] == "Completed"
    for key in ("TransformInput", "TransformResources", "ModelName", "MaxPayloadInMB", "CreationTime"):
        assert kinds(mine)[key] == kinds(motos)[key]
