"""What a scrape tells of endpoints: traffic by variant, shadows, captures, against what was done."""

from __future__ import annotations

import json
import resource
import urllib.request

import pytest
from botocore.exceptions import ClientError
from endpoint_stage import deploy, endpoint_server, times, until, waited
from metric_counts import FORMATS, OPENMETRICS, samples

from tradewind.serving.server.engine import Options

CAPTURE = {
    "EnableCapture": True, "InitialSamplingPercentage": 100,
    "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
}  # fmt: skip


class Scrape:
    """The lines of one scrape."""

    def __init__(self, found, accept=OPENMETRICS):
        request = urllib.request.Request(f"http://{found.address}/metrics", headers={"accept": accept})
        with urllib.request.urlopen(request) as answer:
            self.lines = samples(answer.read().decode(), dict(FORMATS)[accept])

    def of(self, name, **labels):
        return self.lines[f"tradewind_{name}", tuple(sorted(labels.items()))]

    def so_far(self, name, **labels):
        """0 where nothing of it was told yet."""
        return self.lines.get((f"tradewind_{name}", tuple(sorted(labels.items()))), 0)

    def named(self, name):
        return {labels: value for (each, labels), value in self.lines.items() if each == f"tradewind_{name}"}


def asked(found, endpoint, value=1.0, **more):
    said = found.runtime.invoke_endpoint(
        EndpointName=endpoint, ContentType="application/json",
        Body=json.dumps({"instances": [[value, value]]}), **more,
    )  # fmt: skip
    return json.loads(said["Body"].read())["predictions"][0][0]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("artefacts")
    return {factor: times(folder / f"times{factor}.onnx", factor) for factor in (2, 3, 5)}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    with endpoint_server(tmp_path_factory.mktemp("server"), options=Options(isolation="server")) as server:
        yield server


def in_service(found, name, config):
    found.control.create_endpoint(EndpointName=name, EndpointConfigName=config)
    waited(found.control, "endpoint_in_service", EndpointName=name)


@pytest.mark.parametrize("accept", [each for each, _ in FORMATS])
def test_traffic_by_variant(found, models, accept) -> None:
    control, name = found.control, "plain" if accept else "other"
    config = deploy(control, name, {"a": models[2], "b": models[3]}, {"a": 3.0, "b": 1.0}, counts={"b": 2})
    in_service(found, name, config)
    for _ in range(8):
        asked(found, name)
    with pytest.raises(ClientError):
        found.runtime.invoke_endpoint(
            EndpointName=name, Body=b"[[1, 2, 3]]", ContentType="application/json", TargetVariant="a"
        )
    until(lambda: Scrape(found).of("endpoint_replicas", endpoint=name, variant="b", version="1",
                                   state="up") == 2)  # fmt: skip
    told = Scrape(found, accept)
    by = {each: {"endpoint": name, "variant": each, "version": "1"} for each in "ab"}
    assert [told.of("endpoint_weight", **by[each]) for each in "ab"] == [3, 1]
    assert [told.of("endpoint_share", **by[each]) for each in "ab"] == [0.75, 0.25]
    assert [told.of("endpoint_replicas", state="wanted", **by[each]) for each in "ab"] == [1, 2]
    answered = {each: told.of("endpoint_invocations_total", outcome="answered", **by[each]) for each in "ab"}
    assert answered == {"a": 6, "b": 2}
    assert told.of("endpoint_invocations_total", outcome="malformed", **by["a"]) == 1
    status = {dict(labels)["status"]: value for labels, value in told.named("endpoint_status").items()
              if dict(labels)["endpoint"] == name}  # fmt: skip
    assert [each for each, value in status.items() if value] == ["InService"] and len(status) == 8
    control.delete_endpoint(EndpointName=name)
    waited(control, "endpoint_deleted", EndpointName=name)
    assert not [key for key in Scrape(found).lines if dict(key[1]).get("endpoint") == name]


def test_an_update_has_two_versions_and_alarms(found, models) -> None:
    control = found.control
    in_service(found, "moving", deploy(control, "moving", {"v": models[2]}))
    routing = {
        "Type": "CANARY", "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 25},
        "WaitIntervalInSeconds": 3600,
    }  # fmt: skip
    control.update_endpoint(
        EndpointName="moving",
        EndpointConfigName=deploy(control, "moving", {"v": models[3]}, config="moving-second"),
        DeploymentConfig={
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": routing, "MaximumExecutionTimeoutInSeconds": 28800,
            },
            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors>90%"}]},
        },
    )  # fmt: skip
    labels = {"endpoint": "moving", "variant": "v"}

    def shares():
        told = Scrape(found).named("endpoint_share")
        return [told.get(tuple(sorted({**labels, "version": each}.items()))) for each in "12"]

    until(lambda: shares() == [0.75, 0.25])
    answers = [asked(found, "moving") for _ in range(12)]
    told = Scrape(found)
    counts = [
        told.of("endpoint_invocations_total", **labels, version=each, outcome="answered") for each in "12"
    ]
    assert counts == [answers.count(2.0), answers.count(3.0)] == [9, 3]
    assert told.of("endpoint_alarm_ringing", endpoint="moving", alarm="errors>90%") == 0
    assert told.of("endpoint_status", endpoint="moving", status="Updating") == 1
    control.delete_endpoint(EndpointName="moving")


def test_shadows_equal_differing_and_failing(found, models, tmp_path) -> None:
    control = found.control
    for name, shadow in (("same", times(tmp_path / "again.onnx", 2)), ("apart", models[5])):
        in_service(found, name, deploy(control, name, {"v": models[2]}, shadows={"s": shadow}))
    for value in (1.0, 2.0):
        asked(found, "same", value)
        asked(found, "apart", value)
    for name, equal, differing in (("same", 2, 0), ("apart", 0, 2)):
        labels = {"endpoint": name, "variant": "s", "version": "1"}

        def outcomes(labels=labels):
            told = Scrape(found)
            return [
                told.of("shadow_requests_total", **labels, outcome=each)
                for each in ("equal", "differing", "failed", "dropped")
            ]

        until(lambda outcomes=outcomes: sum(outcomes()) == 2)
        assert outcomes() == [equal, differing, 0, 0]
        told = Scrape(found)
        assert told.of("shadow_largest_difference", **labels) == (6.0 if differing else 0.0)
        seconds = [
            told.of("shadow_seconds_total", **labels, answerer=each) for each in ("shadow", "production")
        ]
        assert min(seconds) > 0
        assert told.of("shadow_latency_difference_seconds", **labels) == pytest.approx(
            (seconds[0] - seconds[1]) / 2, abs=1e-6
        )
    until(lambda: Scrape(found).so_far("shadow_lines_total", endpoint="apart", variant="s", version="1",
                                       outcome="written") == 2)  # fmt: skip
    shadow = found.stage.endpoints.find("same").blue.shadows[0]
    shadow._model = "nothing"
    asked(found, "same")
    until(lambda: Scrape(found).of("shadow_requests_total", endpoint="same", variant="s", version="1",
                                   outcome="failed") == 1)  # fmt: skip
    shadow._pressed = lambda: True
    asked(found, "same")
    assert Scrape(found).of("shadow_requests_total", endpoint="same", variant="s", version="1",
                            outcome="dropped") == 1  # fmt: skip
    for name in ("same", "apart"):
        control.delete_endpoint(EndpointName=name)


def test_captures_written_and_lost_on_a_full_disk(found, models, tmp_path) -> None:
    capture = {**CAPTURE, "DestinationS3Uri": str(tmp_path / "seen")}
    config = deploy(found.control, "kept", {"a": models[2], "b": models[3]}, capture=capture)
    in_service(found, "kept", config)

    def lines(variant, outcome):
        return Scrape(found).of("capture_lines_total", endpoint="kept", variant=variant, version="1",
                                outcome=outcome)  # fmt: skip

    def written():
        files = (tmp_path / "seen" / "kept" / "a").rglob("*.jsonl")
        return b"".join(each.read_bytes() for each in files)

    for _ in range(3):
        asked(found, "kept", TargetVariant="a")
    until(lambda: lines("a", "written") == 3)
    labels = {"endpoint": "kept", "variant": "a", "version": "1"}
    assert Scrape(found).of("capture_bytes_total", **labels) == len(written())
    assert [lines("b", outcome) for outcome in ("written", "no_disk", "no_room", "too_large")] == [0] * 4
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(written()) + 10, hard))  # as a full disk does
    try:
        assert asked(found, "kept", 2.0, TargetVariant="a") == 4.0  # the caller is not harmed
        until(lambda: lines("a", "no_disk") == 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert lines("a", "written") == 3 and len(written().splitlines()) == 3
    log = found.stage.endpoints.find("kept").blue.capture.log
    found.loop.call_soon_threadsafe(log.add, "kept/b", lambda: 1 / 0)
    until(lambda: lines("b", "faulty") == 1)
    assert Scrape(found).of("capture_files_unmoved", endpoint="kept", version="1") == 0
    found.control.delete_endpoint(EndpointName="kept")
