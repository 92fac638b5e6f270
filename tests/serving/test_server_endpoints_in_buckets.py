"""Endpoints whose models, captures and transform jobs are in buckets: a server of S3 on a real socket."""

from __future__ import annotations

import io
import json
import tarfile

import pytest
from botocore.exceptions import ClientError
from endpoint_stage import deploy, endpoint_server, times, until, waited

from s3_stage import new_bucket, s3_server, use


@pytest.fixture(scope="module")
def url():
    with s3_server() as found:
        yield found


def asked(found, endpoint, value):
    said = found.runtime.invoke_endpoint(
        EndpointName=endpoint, ContentType="application/json",
        Body=json.dumps({"instances": [[value, value]]}),
    )  # fmt: skip
    return json.loads(said["Body"].read())["predictions"][0][0]


def packed(path):
    """A `.tar.gz` of one file, as SageMaker has artefacts."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.add(path, "model.onnx")
    return content.getvalue()


def test_models_captures_and_transform_jobs_in_buckets(url, tmp_path, monkeypatch) -> None:
    use(monkeypatch, url)
    s3, bucket = new_bucket(url)
    artefact = times(tmp_path / "three.onnx", 3)
    s3.put_object(Bucket=bucket, Key="models/three.tar.gz", Body=packed(artefact))
    s3.upload_file(times(tmp_path / "five.onnx", 5), bucket, "models/five/five.onnx")
    s3.put_object(Bucket=bucket, Key="in/a.csv", Body=b"1,2\n3,4\n")
    s3.put_object(Bucket=bucket, Key="in/deep/b.csv", Body=b"5,6\n")
    capture = {
        "EnableCapture": True, "InitialSamplingPercentage": 100, "DestinationS3Uri": f"s3://{bucket}/seen",
        "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
    }  # fmt: skip

    def kept(prefix):
        return {
            each["Key"].removeprefix(prefix): s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
            for each in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ())
        }

    with endpoint_server(tmp_path / "server") as found:
        control = found.control
        variants = {"three": f"s3://{bucket}/models/three.tar.gz", "five": f"s3://{bucket}/models/five/"}
        weights = {"three": 1.0, "five": 0.0}
        config = deploy(control, "shop", variants, weights, capture=capture)
        control.create_endpoint(EndpointName="shop", EndpointConfigName=config)
        waited(control, "endpoint_in_service", EndpointName="shop")
        assert [asked(found, "shop", value) for value in (1.0, 2.0)] == [3.0, 6.0]
        control.update_endpoint_weights_and_capacities(
            EndpointName="shop",
            DesiredWeightsAndCapacities=[
                {"VariantName": "three", "DesiredWeight": 0.0}, {"VariantName": "five", "DesiredWeight": 1.0}
            ],
        )  # fmt: skip
        assert asked(found, "shop", 2.0) == 10.0
        control.create_transform_job(
            TransformJobName="job", ModelName=f"{config}-three",
            TransformInput={
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/in/"}},
                "ContentType": "text/csv", "SplitType": "Line",
            },
            TransformOutput={"S3OutputPath": f"s3://{bucket}/out/", "AssembleWith": "Line"},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        )  # fmt: skip
        waited(control, "transform_job_completed_or_stopped", TransformJobName="job")
        told = control.describe_transform_job(TransformJobName="job")
        assert told["TransformJobStatus"] == "Completed", told.get("FailureReason")
        assert kept("out/") == {"a.csv.out": b"3.0,6.0\n9.0,12.0\n", "deep/b.csv.out": b"15.0,18.0\n"}
    captured = {
        key: [json.loads(line) for line in content.splitlines()] for key, content in kept("seen/").items()
    }
    by_variant = {
        key.split("/")[1]: [
            json.loads(line["captureData"]["endpointOutput"]["data"])["outputs"][0]["data"] for line in lines
        ]
        for key, lines in captured.items()
    }
    assert by_variant == {"three": [[3.0, 3.0], [6.0, 6.0]], "five": [[10.0, 10.0]]}
    assert all(key.startswith("shop/") and key.endswith(".jsonl") for key in captured)
    assert not list((tmp_path / "server" / "captured").rglob("*.jsonl"))


def test_what_is_not_in_the_bucket_is_told(url, tmp_path, monkeypatch) -> None:
    use(monkeypatch, url)
    _, bucket = new_bucket(url)
    with endpoint_server(tmp_path / "server") as found:
        control = found.control
        for name, address, words in (
            ("file", f"s3://{bucket}/nothing.tar.gz", "there is no such file"),
            ("folder", f"s3://{bucket}/nothing/", "there is nothing under it"),
            ("bucket", "s3://no-such-bucket-here/m.onnx", "NoSuchBucket"),
        ):
            config = deploy(control, name, {"v": address})
            control.create_endpoint(EndpointName=name, EndpointConfigName=config)
            until(lambda name=name: found.control.describe_endpoint(
                EndpointName=name)["EndpointStatus"] == "Failed")  # fmt: skip
            said = control.describe_endpoint(EndpointName=name)["FailureReason"]
            assert address in said and words in said
        control.create_transform_job(
            TransformJobName="none", ModelName="file-config-v",
            TransformInput={"DataSource": {"S3DataSource": {
                "S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/none/"}}},
            TransformOutput={"S3OutputPath": f"s3://{bucket}/out"},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        )  # fmt: skip
        with pytest.raises(ClientError):
            control.describe_transform_job(TransformJobName="another")
        until(lambda: control.describe_transform_job(
            TransformJobName="none")["TransformJobStatus"] == "Failed")  # fmt: skip
        said = control.describe_transform_job(TransformJobName="none")["FailureReason"]
        assert "there are no objects" in said
