"""Batch transform, driven by boto3's client and waiter over real models, and through a kill."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from botocore.exceptions import ClientError
from endpoint_stage import endpoint_server, times, until, waited

from tradewind.data.endpoint_store import EndpointStore

ROLE = "arn:aws:iam::000000000000:role/any"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transform")
    with endpoint_server(folder / "server") as server:
        server.control.create_model(
            ModelName="two", ExecutionRoleArn=ROLE,
            PrimaryContainer={"ModelDataUrl": times(folder / "two.onnx", 2)},
        )  # fmt: skip
        yield server


def begun(found, name, source, target, type_="text/csv", split="Line", assemble="Line", accept="", **more):
    given = {
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": str(source)}},
        "ContentType": type_, "SplitType": split, "CompressionType": more.pop("compression", "None"),
    }  # fmt: skip
    output = {"S3OutputPath": str(target), "AssembleWith": assemble}
    if accept:
        output["Accept"] = accept
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": more.pop("instances", 1)}
    more.setdefault("ModelName", "two")
    found.control.create_transform_job(
        TransformJobName=name, TransformInput=given, TransformOutput=output,
        TransformResources=resources, **more,
    )  # fmt: skip


def done(found, name):
    waited(found.control, "transform_job_completed_or_stopped", TransformJobName=name)
    return found.control.describe_transform_job(TransformJobName=name)


def rows(count):
    return np.arange(2 * count, dtype=np.float64).reshape(count, 2)


def csv_of(values, ids=False):
    return "".join(
        f"{','.join(([f'id{at}'] if ids else []) + [f'{value:g}' for value in row])}\n"
        for at, row in enumerate(values)
    )


def test_files_of_csv_keep_their_order_and_names(found, tmp_path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name, count in (("a.csv", 500), ("deep/b.csv", 3)):
        (tmp_path / "in" / name).write_text(csv_of(rows(count)))
    begun(found, "csv", tmp_path / "in", tmp_path / "out", MaxConcurrentTransforms=4, MaxPayloadInMB=1)
    told = done(found, "csv")
    assert (
        told["TransformJobStatus"] == "Completed" and told["TransformEndTime"] >= told["TransformStartTime"]
    )
    assert told["ModelName"] == "two" and told["MaxPayloadInMB"] == 1
    for name, count in (("a.csv", 500), ("deep/b.csv", 3)):
        written = np.loadtxt(tmp_path / "out" / f"{name}.out", delimiter=",", ndmin=2)
        np.testing.assert_array_equal(written, 2 * rows(count))
    assert not [each.name for each in found.stage.engine.gauges().models if "transform" in each.name]


def test_a_join_puts_answers_beside_their_records(found, tmp_path) -> None:
    (tmp_path / "in.csv").write_text(csv_of(rows(300), ids=True))
    processing = {"InputFilter": "$[1:]", "OutputFilter": "$[0,3]", "JoinSource": "Input"}
    begun(
        found, "join", f"file://{tmp_path / 'in.csv'}", tmp_path / "out", DataProcessing=processing,
        MaxConcurrentTransforms=3,
    )  # fmt: skip
    done(found, "join")
    with (tmp_path / "out" / "in.csv.out").open() as file:
        written = list(csv.reader(file))
    assert written == [[f"id{at}", f"{2 * row[0]:.1f}"] for at, row in enumerate(rows(300))]


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
def test_objects_of_json_lines_in_gzip(found, tmp_path, strategy) -> None:
    given = [{"id": at, "features": row.tolist()} for at, row in enumerate(rows(40))]
    content = "\n".join(json.dumps(each) for each in given).encode()
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress(content))
    processing = {"InputFilter": "$['features']", "JoinSource": "Input"}
    begun(
        found, f"lines-{strategy}", tmp_path / "in.jsonl.gz", tmp_path / "out", "application/jsonlines",
        compression="Gzip", DataProcessing={**processing, "InputFilter": "$.features"},
        BatchStrategy=strategy,
    )  # fmt: skip
    done(found, f"lines-{strategy}")
    written = [json.loads(line) for line in (tmp_path / "out" / "in.jsonl.gz.out").read_text().splitlines()]
    assert [each["id"] for each in written] == list(range(40))
    assert [each["SageMakerOutput"]["y"] for each in written] == (2 * rows(40)).tolist()


def test_a_whole_object_is_one_request(found, tmp_path) -> None:
    (tmp_path / "in.json").write_text(json.dumps({"instances": rows(4).tolist()}))
    begun(found, "whole", tmp_path / "in.json", tmp_path / "out", "application/json", "None", "None")
    done(found, "whole")
    said = json.loads((tmp_path / "out" / "in.json.out").read_text())
    assert said == {"predictions": (2 * rows(4)).tolist()}


def test_an_object_that_fails_fails_the_job_and_what_is_done_stays(found, tmp_path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text(csv_of(rows(3)))
    (tmp_path / "in" / "b.csv").write_text("1,2\n1,2,3\n")
    begun(found, "fails", tmp_path / "in", tmp_path / "out")
    until(lambda: found.control.describe_transform_job(TransformJobName="fails")["TransformJobStatus"]
          == "Failed")  # fmt: skip
    told = found.control.describe_transform_job(TransformJobName="fails")
    assert "b.csv" in told["FailureReason"]
    assert (tmp_path / "out" / "a.csv.out").exists() and not (tmp_path / "out" / "b.csv.out").exists()
    listed = found.control.list_transform_jobs(StatusEquals="Failed")["TransformJobSummaries"]
    assert [each["TransformJobName"] for each in listed] == ["fails"]


def test_what_is_wrong_is_refused_before_anything_is_done(found, tmp_path) -> None:
    for more, said in (
        ({"ModelName": "none"}, "Could not find model"),
        ({"split": "TFRecord"}, "SplitType"),
        ({"DataProcessing": {"InputFilter": "$..x"}}, "no path"),
        ({"DataProcessing": {"JoinSource": "Input"}, "type_": "image/png"}, "CSV or JSON"),
        ({"DataProcessing": {"JoinSource": "Input"}, "accept": "application/json"}, "Accept"),
    ):
        with pytest.raises(ClientError, match=said):
            begun(found, "wrong", tmp_path / "in", tmp_path / "out", **more)
    with pytest.raises(ClientError, match="Could not find requested job with name"):
        found.control.describe_transform_job(TransformJobName="wrong")
    begun(found, "nothing", tmp_path / "none", tmp_path / "out")
    until(lambda: "no objects" in found.control.describe_transform_job(TransformJobName="nothing").get(
        "FailureReason", ""))  # fmt: skip
    with pytest.raises(ClientError, match="must be unique"):
        begun(found, "nothing", tmp_path / "none", tmp_path / "out")
    with pytest.raises(ClientError, match="in status Failed"):
        found.control.stop_transform_job(TransformJobName="nothing")


SLOW = """
    import time
    from pathlib import Path

    class Slow:
        signature = {"inputs": {"x": ["FP32", [-1, 2]]}, "outputs": {"y": ["FP32", [-1, 2]]}}

        def __init__(self, folder):
            self._gate = Path(folder) / "go"

        def predict(self, inputs):
            while inputs["x"][0, 0] >= 100 and not self._gate.exists():
                time.sleep(0.01)
            return inputs["x"] * 2
"""
SERVER = """
    import asyncio, sys
    from pathlib import Path
    from tradewind import clock
    from tradewind.serving.models.repository import Trust
    from tradewind.serving.server.endpoints.control_plane import ControlPlane
    from tradewind.serving.server.deployments import Deployments
    from tradewind.serving.server.endpoints.engine import Endpoints
    from tradewind.serving.server.engine import ModelEngine
    from tradewind.serving.server.transform_jobs import TransformJobs

    async def main():
        library = Deployments(None, Trust(code=("slow_model:Slow",)))
        endpoints = Endpoints(ModelEngine(library), library, Path(sys.argv[1]))
        plane = ControlPlane(endpoints)
        jobs = TransformJobs(plane)
        await endpoints.open()
        if len(sys.argv) > 2:
            model, source, target = sys.argv[2:]
            told = {"ModelName": "slow", "PrimaryContainer": {"ModelDataUrl": model}}
            await plane.create_model(told, "here")
            await jobs.create({
                "TransformJobName": "job", "ModelName": "slow",
                "TransformInput": {"DataSource": {"S3DataSource": {"S3Uri": source}},
                                   "ContentType": "text/csv", "SplitType": "Line"},
                "TransformOutput": {"S3OutputPath": target, "AssembleWith": "Line"},
                "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
            }, "here")
        while True:
            told = await jobs.describe({"TransformJobName": "job"}, "here")
            if told["TransformJobStatus"] != "InProgress":
                print(told["TransformJobStatus"], told.get("FailureReason", ""), flush=True)
                break
            await asyncio.sleep(0.02)
        await endpoints.close()

    clock.serve(main())
"""


def test_a_killed_job_goes_on_and_keeps_what_is_done(tmp_path, monkeypatch) -> None:
    (tmp_path / "slow_model.py").write_text(textwrap.dedent(SLOW))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.toml").write_text('class = "slow_model:Slow"\n')
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text(csv_of(rows(3)))
    (tmp_path / "in" / "b.csv").write_text(csv_of(100 + rows(3)))
    base = [sys.executable, "-c", textwrap.dedent(SERVER), str(tmp_path / "server")]
    first = subprocess.Popen([*base, *map(str, (model, tmp_path / "in", tmp_path / "out"))])
    try:
        until(lambda: b'"done":["a.csv"]' in kept(tmp_path / "server" / "endpoints.sqlite"))
    finally:
        first.kill()
        first.wait()
    (tmp_path / "out" / "a.csv.out").write_text("done before\n")
    (model / "go").touch()
    second = subprocess.run(base, capture_output=True, text=True, timeout=30, check=True)
    assert second.stdout.split() == ["Completed"], second.stdout + second.stderr
    assert (tmp_path / "out" / "b.csv.out").read_text() == "200.0,202.0\n204.0,206.0\n208.0,210.0\n"
    assert (tmp_path / "out" / "a.csv.out").read_text() == "done before\n"


def kept(file):
    if not file.exists():
        return b""
    with EndpointStore(file) as store:
        return b"".join(row.document for row in store.all("transform-job"))
