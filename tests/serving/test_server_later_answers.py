"""InvokeEndpointAsync by boto3 over real models: answers, failures, and a kill."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from botocore.exceptions import ClientError
from endpoint_stage import deploy, endpoint_server, on_loop, times, until, waited

from tradewind.data.endpoint_store import EndpointStore


def place(location):
    return Path(location.removeprefix("file://"))


def deployed(server, tmp_path, name="late", **more):
    model = times(tmp_path / "model.onnx", 2.0)
    output = {"S3OutputPath": str(tmp_path / "out"), "S3FailurePath": str(tmp_path / "lost"), **more}
    config = deploy(server.control, name, {"only": model}, later={"OutputConfig": output})
    server.control.create_endpoint(EndpointName=name, EndpointConfigName=config)
    waited(server.control, "endpoint_in_service", EndpointName=name)


def test_answers_are_put_where_the_caller_was_told(tmp_path):
    (tmp_path / "in.csv").write_text("1,2\n3,4\n")
    large = np.arange(60_000, dtype=np.float32).reshape(-1, 2)
    (tmp_path / "large.json").write_text(json.dumps(large.tolist()))
    with endpoint_server(tmp_path / "server") as server:
        deployed(server, tmp_path)
        given = {"EndpointName": "late", "ContentType": "text/csv", "Accept": "text/csv"}
        first = server.runtime.invoke_endpoint_async(
            InputLocation=str(tmp_path / "in.csv"), InferenceId="mine", **given
        )
        assert first["ResponseMetadata"]["HTTPStatusCode"] == 202 and first["InferenceId"] == "mine"
        assert place(first["OutputLocation"]).parent == tmp_path / "out"
        assert place(first["FailureLocation"]).parent == tmp_path / "lost"
        second = server.runtime.invoke_endpoint_async(
            EndpointName="late", InputLocation=f"file://{tmp_path / 'large.json'}"
        )
        third = server.runtime.invoke_endpoint_async(
            Body=b"5,6\n", S3OutputPathExtension="day/one", Filename="named.csv", **given
        )
        assert place(third["OutputLocation"]) == tmp_path / "out" / "day" / "one" / "named.csv"
        until(lambda: len(server.stage.later) == 0)
        assert place(first["OutputLocation"]).read_text() == "2.0,4.0\n6.0,8.0\n"
        answer = json.loads(place(second["OutputLocation"]).read_bytes())
        np.testing.assert_array_equal(np.array(answer, np.float32), 2 * large)
        assert place(third["OutputLocation"]).read_text() == "10.0,12.0\n"
        assert not (tmp_path / "lost").exists()
        assert not EndpointStore(tmp_path / "server" / "endpoints.sqlite").all("later-answer")


def test_failures_are_put_beside_and_name_their_reason(tmp_path):
    (tmp_path / "wrong.csv").write_text("1,2,3\n")
    with endpoint_server(tmp_path / "server") as server:
        deployed(server, tmp_path)
        given = {"EndpointName": "late", "ContentType": "text/csv"}
        wrong = server.runtime.invoke_endpoint_async(InputLocation=str(tmp_path / "wrong.csv"), **given)
        absent = server.runtime.invoke_endpoint_async(InputLocation=str(tmp_path / "absent"), **given)
        until(lambda: len(server.stage.later) == 0)
        told = json.loads(place(wrong["FailureLocation"]).read_bytes())
        assert told["OriginalStatusCode"] == 400 and "3" in told["OriginalMessage"]
        assert "no such object" in place(absent["FailureLocation"]).read_text()
        assert not (tmp_path / "out").exists()
        old = on_loop(
            server, server.stage.later.take("late", str(tmp_path / "wrong.csv"), b"", {}, lifetime=-1.0)
        )
        until(lambda: len(server.stage.later) == 0)
        assert "too old" in place(old.failure).read_text()


def test_what_cannot_be_taken_is_refused_at_once(tmp_path):
    with endpoint_server(tmp_path / "server") as server:
        deployed(server, tmp_path)
        config = deploy(server.control, "now", {"only": times(tmp_path / "b.onnx", 2.0)})
        server.control.create_endpoint(EndpointName="now", EndpointConfigName=config)
        somewhere = {"InputLocation": str(tmp_path / "in")}
        for given, why in (
            ({"EndpointName": "now", **somewhere}, "not asynchronous"),
            ({"EndpointName": "none", **somewhere}, "not found"),
            ({"EndpointName": "late", "InputLocation": "https://example.org/x"}, "no address"),
            ({"EndpointName": "late"}, "InputLocation or a Body"),
            ({"EndpointName": "late", "Body": b"1,2", **somewhere}, "InputLocation or a Body"),
            ({"EndpointName": "late", "Filename": "..", **somewhere}, "no name"),
            ({"EndpointName": "late", "S3OutputPathExtension": "a/../..", **somewhere}, "no name"),
        ):
            with pytest.raises(ClientError, match=why) as refused:
                server.runtime.invoke_endpoint_async(**given)
            assert refused.value.response["Error"]["Code"] == "ValidationError"
        told = {"S3OutputPath": "s3://b/out", "NotificationConfig": {"SuccessTopic": "arn:aws:sns:x:1:t"}}
        with pytest.raises(ClientError, match="NotificationConfig"):
            deploy(server.control, "noted", {"only": "/x"}, later={"OutputConfig": told})
        assert len(server.stage.later) == 0


SERVER = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from endpoint_stage import opened
from tradewind import clock

async def main():
    stage = await opened(sys.argv[2])
    while stage.endpoints.find("late") is None or not stage.endpoints.is_ready("late"):
        await asyncio.sleep(0.01)
    if sys.argv[3] == "take":
        for body in (b"[[1, 2]]", b"[[3, 4]]"):
            print((await stage.later.take("late", "", body, {})).output, flush=True)
        await asyncio.Event().wait()
    while len(stage.later):
        await asyncio.sleep(0.01)
    await stage.endpoints.close()

from pathlib import Path
sys.argv[2] = Path(sys.argv[2])
clock.serve(main())
"""


def test_a_call_that_was_taken_is_answered_after_a_kill(tmp_path):
    """Its answer cannot be written at first, for a file is in the way; then the server is killed."""
    with endpoint_server(tmp_path / "server") as server:
        deployed(server, tmp_path)
    (tmp_path / "out").write_text("in the way")
    base = [sys.executable, "-c", SERVER, str(Path(__file__).parent), str(tmp_path / "server")]
    first = subprocess.Popen([*base, "take"], stdout=subprocess.PIPE, text=True)
    try:
        outputs = [place(first.stdout.readline().strip()) for _ in range(2)]
    finally:
        first.kill()
        first.wait()
        first.stdout.close()
    (tmp_path / "out").unlink()
    subprocess.run([*base, "finish"], timeout=30, check=True)
    assert [json.loads(each.read_bytes()) for each in outputs] == [[[2.0, 4.0]], [[6.0, 8.0]]]
    assert not EndpointStore(tmp_path / "server" / "endpoints.sqlite").all("later-answer")
