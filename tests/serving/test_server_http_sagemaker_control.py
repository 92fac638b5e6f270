"""SageMaker's control API, driven by boto3's own client and waiters, over real models."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError
from endpoint_stage import deploy, endpoint_server, times, until, waited


def asked(found, endpoint, value=1.0, **more):
    """The variant that answered, and its factor."""
    said = found.runtime.invoke_endpoint(
        EndpointName=endpoint,
        Body=json.dumps({"instances": [[value, value]]}),
        ContentType="application/json",
        **more,
    )
    (row,) = json.loads(said["Body"].read())["predictions"]
    return said["InvokedProductionVariant"], row[0] / value


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("artefacts")
    return {factor: times(folder / f"times{factor}.onnx", factor) for factor in (2, 3, 5, 7)}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    with endpoint_server(tmp_path_factory.mktemp("server")) as server:
        yield server


def in_service(found, name, config):
    found.control.create_endpoint(EndpointName=name, EndpointConfigName=config)
    waited(found.control, "endpoint_in_service", EndpointName=name)


def refused(call, **arguments):
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return raised.value.response["Error"]


def test_an_endpoint_lives_and_dies(found, models) -> None:
    control = found.control
    config = deploy(control, "life", {"blue": models[2], "green": models[3]}, {"blue": 3.0, "green": 1.0})
    made = control.create_endpoint(EndpointName="life", EndpointConfigName=config)
    assert made["EndpointArn"] == "arn:aws:sagemaker:eu-west-1:000000000000:endpoint/life"
    waited(control, "endpoint_in_service", EndpointName="life")
    told = control.describe_endpoint(EndpointName="life")
    assert told["EndpointConfigName"] == config and told["EndpointStatus"] == "InService"
    assert [
        (each["VariantName"], each["CurrentWeight"], each["CurrentInstanceCount"], each["DeployedImages"])
        for each in told["ProductionVariants"]
    ] == [
        (name, weight, 1, [{"SpecifiedImage": "registry/onnx:1", "ResolvedImage": "registry/onnx:1"}])
        for name, weight in (("blue", 3.0), ("green", 1.0))
    ]
    assert 0 <= (told["LastModifiedTime"] - told["CreationTime"]).total_seconds() < 60
    answers = [asked(found, "life") for _ in range(40)]
    assert set(answers) == {("blue", 2.0), ("green", 3.0)}
    assert abs(sum(variant == "green" for variant, _ in answers) - 10) <= 1
    for id in ("a", "b", "c", "d"):
        assert len({asked(found, "life", InferenceId=id) for _ in range(4)}) == 1
    assert asked(found, "life", TargetVariant="green") == ("green", 3.0)
    with pytest.raises(ClientError, match="variant red not found"):
        asked(found, "life", TargetVariant="red")
    control.delete_endpoint(EndpointName="life")
    waited(control, "endpoint_deleted", EndpointName="life")
    with pytest.raises(ClientError):
        asked(found, "life")
    assert found.stage.engine.gauges().models == ()


def test_weights_and_capacities_change_in_place(found, models) -> None:
    control = found.control
    in_service(found, "scale", deploy(control, "scale", {"a": models[2], "b": models[3]}))
    control.update_endpoint_weights_and_capacities(
        EndpointName="scale",
        DesiredWeightsAndCapacities=[
            {"VariantName": "a", "DesiredWeight": 0},
            {"VariantName": "b", "DesiredInstanceCount": 2},
        ],
    )
    assert refused(
        control.update_endpoint_weights_and_capacities,
        EndpointName="scale",
        DesiredWeightsAndCapacities=[{"VariantName": "a", "DesiredWeight": 1}],
    )["Message"].startswith("Cannot update in-progress endpoint")
    waited(control, "endpoint_in_service", EndpointName="scale")
    a, b = control.describe_endpoint(EndpointName="scale")["ProductionVariants"]
    assert (a["CurrentWeight"], a["CurrentInstanceCount"]) == (0.0, 1)
    assert (b["CurrentWeight"], b["CurrentInstanceCount"], b["DesiredInstanceCount"]) == (1.0, 2, 2)
    assert {asked(found, "scale") for _ in range(10)} == {("b", 3.0)}
    assert (
        "variant"
        in refused(
            control.update_endpoint_weights_and_capacities,
            EndpointName="scale",
            DesiredWeightsAndCapacities=[{"VariantName": "none", "DesiredWeight": 1}],
        )["Message"]
    )
    control.delete_endpoint(EndpointName="scale")


def test_an_update_moves_all_the_traffic_and_frees_what_was_there(found, models) -> None:
    control = found.control
    in_service(found, "moves", deploy(control, "moves", {"only": models[2]}))
    second = deploy(control, "moves", {"only": models[5]}, config="moves-second")
    control.update_endpoint(EndpointName="moves", EndpointConfigName=second)
    assert control.describe_endpoint(EndpointName="moves")["EndpointStatus"] == "Updating"
    waited(control, "endpoint_in_service", EndpointName="moves")
    assert {asked(found, "moves") for _ in range(5)} == {("only", 5.0)}
    assert control.describe_endpoint(EndpointName="moves")["EndpointConfigName"] == second
    until(lambda: [each.name for each in found.stage.engine.gauges().models if "moves" in each.name]
          == ["moves.only.2"])  # fmt: skip
    control.delete_endpoint(EndpointName="moves")


def canary(**more):
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "CANARY", "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50},
                "WaitIntervalInSeconds": 60,
            },
        },
        **more,
    }  # fmt: skip


def test_an_alarm_sends_a_canary_back(found, models) -> None:
    control = found.control
    in_service(found, "back", deploy(control, "back", {"only": models[2]}))
    second = deploy(control, "back", {"only": models[7]}, config="back-second")
    # A latency that no answer keeps: it rings as soon as the canary has answered five times.
    rollback = {"Alarms": [{"AlarmName": "p50>0.1us"}]}
    control.update_endpoint(
        EndpointName="back", EndpointConfigName=second,
        DeploymentConfig=canary(AutoRollbackConfiguration=rollback),
    )  # fmt: skip
    until(lambda: "PendingDeploymentSummary" in control.describe_endpoint(EndpointName="back"))

    def baking():
        pending = control.describe_endpoint(EndpointName="back")["PendingDeploymentSummary"]
        return pending["ProductionVariants"][0]["VariantStatus"][0]["Status"] == "Baking"

    until(baking)
    answers = []

    def gone_back():
        answers.append(asked(found, "back")[1])
        return control.describe_endpoint(EndpointName="back")["EndpointStatus"] == "InService"

    until(gone_back)
    assert 5 <= answers.count(7.0) < len(answers)
    told = control.describe_endpoint(EndpointName="back")
    assert told["FailureReason"] == "alarm p50>0.1us" and told["EndpointConfigName"] == "back-config"
    assert told["LastDeploymentConfig"]["AutoRollbackConfiguration"] == rollback
    assert {asked(found, "back") for _ in range(10)} == {("only", 2.0)}
    control.delete_endpoint(EndpointName="back")


def test_what_cannot_be_loaded_fails_or_goes_back(found, models, tmp_path) -> None:
    control = found.control
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x07 no model")
    bad = deploy(control, "bad", {"only": str(tmp_path / "bad.onnx")})
    control.create_endpoint(EndpointName="bad", EndpointConfigName=bad)
    until(lambda: control.describe_endpoint(EndpointName="bad")["EndpointStatus"] == "Failed")
    assert "bad.onnx" in control.describe_endpoint(EndpointName="bad")["FailureReason"]
    with pytest.raises(ClientError, match="Failed"):
        asked(found, "bad")
    control.delete_endpoint(EndpointName="bad")
    waited(control, "endpoint_deleted", EndpointName="bad")
    in_service(found, "stays", deploy(control, "stays", {"only": models[2]}))
    other = times(tmp_path / "other.onnx", 3, name="rows")
    for config, said in (
        (bad, "bad.onnx"),
        (deploy(control, "o", {"only": other}), "another of the endpoint rows"),
    ):
        control.update_endpoint(EndpointName="stays", EndpointConfigName=config)
        waited(control, "endpoint_in_service", EndpointName="stays")
        told = control.describe_endpoint(EndpointName="stays")
        assert said in told["FailureReason"] and asked(found, "stays") == ("only", 2.0)
    control.delete_endpoint(EndpointName="stays")


def test_lists_come_in_pages(found, models) -> None:
    control = found.control
    for number in range(5):
        control.create_model(
            ModelName=f"page-{number}", ExecutionRoleArn="arn:aws:iam::000000000000:role/any",
            PrimaryContainer={"ModelDataUrl": models[2]},
        )  # fmt: skip
    pages = control.get_paginator("list_models").paginate(
        NameContains="page-", SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 2}
    )
    names = [[each["ModelName"] for each in page["Models"]] for page in pages]
    assert names == [["page-0", "page-1"], ["page-2", "page-3"], ["page-4"]]
    latest = control.list_models(NameContains="page-", MaxResults=1)["Models"][0]
    assert latest["ModelName"] == "page-4"
    after = control.list_models(
        NameContains="page-", CreationTimeAfter=latest["CreationTime"] + timedelta(seconds=1)
    )["Models"]
    assert after == []
    before = control.list_models(
        NameContains="page-", CreationTimeBefore=latest["CreationTime"] + timedelta(seconds=1)
    )
    assert len(before["Models"]) == 5
    control.delete_model(ModelName="page-0")
    error = refused(control.describe_model, ModelName="page-0")
    assert error["Code"] == "ValidationException"
    assert error["Message"] == (
        'Could not find model "arn:aws:sagemaker:eu-west-1:000000000000:model/page-0".'
    )
    assert refused(control.list_models, NextToken="nonsense")["Message"].endswith("Invalid NextToken.")


def test_what_is_wrong_is_told_in_aws_words(found, models) -> None:
    control = found.control
    error = refused(control.describe_endpoint, EndpointName="nowhere")
    assert error["Code"] == "ValidationException" and error["Message"] == (
        'Could not find endpoint "arn:aws:sagemaker:eu-west-1:000000000000:endpoint/nowhere".'
    )
    assert (
        "Could not find endpoint configuration"
        in (refused(control.create_endpoint, EndpointName="new", EndpointConfigName="none")["Message"])
    )
    role = {"ExecutionRoleArn": "arn:aws:iam::000000000000:role/any"}
    container = {"ModelDataUrl": models[2]}
    control.create_model(ModelName="once", PrimaryContainer=container, **role)
    for arguments, said in (
        ({"ModelName": "once", "PrimaryContainer": container}, "Cannot create already existing model"),
        ({"ModelName": "no name!", "PrimaryContainer": container}, "ModelName"),
        ({"ModelName": "empty", "PrimaryContainer": {"Image": "x"}}, "ModelDataUrl"),
        ({"ModelName": "url", "PrimaryContainer": {"ModelDataUrl": "http://host/m"}}, "no address"),
        ({"ModelName": "two", "Containers": [container, container]}, "2 containers"),
        ({"ModelName": "many", "PrimaryContainer": {**container, "Mode": "MultiModel"}}, "Mode"),
    ):
        assert said in refused(control.create_model, **arguments, **role)["Message"]
    variant = {
        "VariantName": "v",
        "ModelName": "once",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    for variants, more, said in (
        ([variant, variant], {}, "occurs twice"),
        ([{**variant, "ModelName": "none"}], {}, "Could not find model"),
        ([{**variant, "InitialVariantWeight": 0}], {}, "weight above 0"),
        ([{**variant, "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}}], {}, "not served"),
        ([variant, {**variant, "VariantName": "w"}],
         {"ShadowProductionVariants": [{**variant, "VariantName": "s"}]}, "one production variant"),
    ):  # fmt: skip
        error = refused(
            control.create_endpoint_config, EndpointConfigName="wrong", ProductionVariants=variants, **more
        )
        assert said in error["Message"]
    control.create_endpoint_config(EndpointConfigName="right", ProductionVariants=[variant])
    in_service(found, "told", "right")
    for config, said in (
        (canary(AutoRollbackConfiguration={"Alarms": [{"AlarmName": "pager"}]}), "states no alarm"),
        (canary(RollingUpdatePolicy={"MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1},
                                     "WaitIntervalInSeconds": 0}), "both given"),
    ):  # fmt: skip
        error = refused(
            control.update_endpoint, EndpointName="told", EndpointConfigName="right", DeploymentConfig=config
        )
        assert said in error["Message"]
    assert control.describe_endpoint(EndpointName="told")["EndpointStatus"] == "InService"
    error = refused(control.create_notebook_instance, NotebookInstanceName="n", InstanceType="ml.t3.medium",
                    RoleArn=role["ExecutionRoleArn"])  # fmt: skip
    assert error["Code"] == "UnknownOperationException"
    control.delete_endpoint(EndpointName="told")


def _posted(found, body, **headers):
    request = urllib.request.Request(f"http://{found.address}/", body, headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_what_is_no_call_of_the_api_is_refused(found) -> None:
    target = {"X-Amz-Target": "SageMaker.ListModels"}
    assert _posted(found, b"{", **target)[1]["__type"] == "SerializationException"
    assert _posted(found, b"[]", **target)[1]["__type"] == "SerializationException"
    assert _posted(found, b"{}")[0] == 404
    assert _posted(found, b'{"MaxResults": "many"}', **target)[1]["__type"] == "ValidationException"
    status, said = _posted(found, b"{}", **{"X-Amz-Target": "SageMaker.DescribeEndpoint"})
    assert status == 400 and "must not be null" in said["message"]


def test_a_canary_is_told_by_weights_and_asked_by_its_variants(found, models) -> None:
    control = found.control
    first = deploy(control, "twice", {"a": models[2], "b": models[3]}, {"a": 4.0, "b": 1.0})
    in_service(found, "twice", first)
    second = deploy(control, "twice", {"a": models[5], "c": models[7]}, {"a": 1.0}, config="twice-second")
    config = canary()
    config["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["CanarySize"]["Value"] = 25
    control.update_endpoint(EndpointName="twice", EndpointConfigName=second, DeploymentConfig=config)

    def pending():
        return control.describe_endpoint(EndpointName="twice").get("PendingDeploymentSummary")

    until(lambda: pending() and pending()["ProductionVariants"][0].get("CurrentWeight") == 0.25)
    told = control.describe_endpoint(EndpointName="twice")
    assert told["EndpointStatus"] == "Updating" and told["EndpointConfigName"] == first
    assert [
        (each["VariantName"], each["CurrentWeight"], each["DesiredWeight"], each["CurrentInstanceCount"])
        for each in [*told["ProductionVariants"], *told["PendingDeploymentSummary"]["ProductionVariants"]]
    ] == [("a", 3.0, 4.0, 1), ("b", 0.75, 1.0, 1), ("a", 0.25, 1.0, 1), ("c", 0.25, 1.0, 1)]
    # A variant of both is asked as the traffic is split, one of either is asked there.
    answers = [asked(found, "twice", TargetVariant="a") for _ in range(20)]
    assert set(answers) == {("a", 2.0), ("a", 5.0)} and answers.count(("a", 5.0)) == 5
    assert {asked(found, "twice", TargetVariant="b") for _ in range(6)} == {("b", 3.0)}
    assert {asked(found, "twice", TargetVariant="c") for _ in range(6)} == {("c", 7.0)}
    with pytest.raises(ClientError, match="variant d not found"):
        asked(found, "twice", TargetVariant="d")
    assert refused(control.update_endpoint_weights_and_capacities, EndpointName="twice",
                   DesiredWeightsAndCapacities=[{"VariantName": "a", "DesiredWeight": 1}],
                   )["Message"].startswith("Cannot update in-progress")  # fmt: skip
    control.delete_endpoint(EndpointName="twice")


def test_lists_are_filtered(found, models, tmp_path) -> None:
    control = found.control
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    config = deploy(control, "sift-good", {"v": models[2]})
    in_service(found, "sift-good", config)
    bad = deploy(control, "sift-bad", {"v": str(tmp_path / "bad.onnx")})
    control.create_endpoint(EndpointName="sift-bad", EndpointConfigName=bad)
    until(lambda: control.describe_endpoint(EndpointName="sift-bad")["EndpointStatus"] == "Failed")

    def names(call, **told):
        key = {"endpoints": "Endpoint", "endpoint_configs": "EndpointConfig", "models": "Model"}[call]
        said = getattr(control, f"list_{call}")(SortBy="Name", SortOrder="Ascending", **told)
        return [each[f"{key}Name"] for each in said[f"{key}s"]]

    assert names("endpoints", NameContains="SIFT") == ["sift-bad", "sift-good"]
    assert names("endpoints", NameContains="sift", StatusEquals="Failed") == ["sift-bad"]
    assert names("endpoints", NameContains="sift", StatusEquals="InService") == ["sift-good"]
    good = control.describe_endpoint(EndpointName="sift-good")
    at, failed = good["CreationTime"], control.describe_endpoint(EndpointName="sift-bad")["CreationTime"]
    assert at < failed
    between = at + (failed - at) / 2
    assert names("endpoints", NameContains="sift", CreationTimeAfter=between) == ["sift-bad"]
    assert names("endpoints", NameContains="sift", CreationTimeBefore=between) == ["sift-good"]
    control.update_endpoint_weights_and_capacities(
        EndpointName="sift-good", DesiredWeightsAndCapacities=[{"VariantName": "v", "DesiredWeight": 2}]
    )
    waited(control, "endpoint_in_service", EndpointName="sift-good")
    changed = control.describe_endpoint(EndpointName="sift-good")["LastModifiedTime"]
    assert changed > failed
    after = changed - (changed - failed) / 2
    assert names("endpoints", NameContains="sift", LastModifiedTimeAfter=after) == ["sift-good"]
    assert names("endpoints", NameContains="sift", LastModifiedTimeBefore=after) == ["sift-bad"]
    assert names("endpoint_configs", NameContains="sift") == ["sift-bad-config", "sift-good-config"]

    def halfway(call, key, tail):
        first, second = (call(**{key: f"sift-{name}{tail}"})["CreationTime"] for name in ("good", "bad"))
        return first + (second - first) / 2

    between = halfway(control.describe_endpoint_config, "EndpointConfigName", "-config")
    assert names("endpoint_configs", NameContains="sift", CreationTimeAfter=between) == ["sift-bad-config"]
    between = halfway(control.describe_model, "ModelName", "-config-v")
    assert names("models", NameContains="sift", CreationTimeBefore=between) == ["sift-good-config-v"]
    assert "StatusEquals" in refused(control.list_endpoints, StatusEquals="Ready")["Message"]
    for name in ("sift-good", "sift-bad"):
        control.delete_endpoint(EndpointName=name)


def test_what_is_in_use_may_be_deleted_and_serves_on(found, models) -> None:
    control = found.control
    config = deploy(control, "used", {"v": models[3]})
    in_service(found, "used", config)
    control.delete_model(ModelName=f"{config}-v")
    assert asked(found, "used") == ("v", 3.0)
    assert control.describe_endpoint(EndpointName="used")["EndpointStatus"] == "InService"
    # The configuration is still there, but cannot be deployed any more: that is said before anything begins.
    for name, call in (("used", control.update_endpoint), ("other", control.create_endpoint)):
        error = refused(call, EndpointName=name, EndpointConfigName=config)
        assert error["Message"].startswith("Could not find model")
    control.delete_endpoint_config(EndpointConfigName=config)
    control.update_endpoint_weights_and_capacities(
        EndpointName="used", DesiredWeightsAndCapacities=[{"VariantName": "v", "DesiredInstanceCount": 2}]
    )
    waited(control, "endpoint_in_service", EndpointName="used")
    assert asked(found, "used") == ("v", 3.0)
    # A model of the same name again is another one.
    deploy(control, "used", {"v": models[7]})
    assert asked(found, "used") == ("v", 3.0)
    control.update_endpoint(EndpointName="used", EndpointConfigName=config)
    waited(control, "endpoint_in_service", EndpointName="used")
    assert asked(found, "used") == ("v", 7.0)
    control.delete_endpoint(EndpointName="used")
    waited(control, "endpoint_deleted", EndpointName="used")
