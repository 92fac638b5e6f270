"""SageMaker's control API on this server: models, configurations, endpoints; a method for each operation.

Amazon SageMaker API, 2017-07-24, the operations that `ControlPlane.operations` names. What was given is
told again as it was given; statuses are SageMaker's. Differences: an image is kept but not run, for the
artefact decides what serves it; `ModelDataUrl` may be a path or file:// as well; an alarm's name is its
condition; endpoints may be deleted whatever their status.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tradewind import clock
from tradewind.errors import Misuse, TradewindError
from tradewind.serving.rollout import requests
from tradewind.serving.rollout.deployment_plan import plan_of
from tradewind.serving.rollout.endpoint_record import Deployed, EndpointRecord, Side
from tradewind.serving.rollout.requests import check_address, read
from tradewind.serving.rollout.update import begun
from tradewind.serving.server.endpoints import description
from tradewind.serving.server.endpoints.endpoint import LiveEndpoint
from tradewind.serving.server.endpoints.engine import Endpoints, kept
from tradewind.serving.server.endpoints.listing import page

ACCOUNT = "000000000000"
"""In the names of resources (ARN): there are no accounts here."""
_KINDS = {"model": "model", "endpoint-config": "endpoint configuration", "endpoint": "endpoint"}
Told = dict[str, Any]
Operation = Callable[[Told, str], Awaitable[Told]]


class Kept(Struct):
    """A model or a configuration: what was given, and when."""

    name: str
    arn: str
    created: float
    given: Told


class ControlPlane:
    """The control API over `endpoints`. Methods raise Misuse, whose text is for the caller."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints
        endpoints.beside.append(self)
        self._models: dict[str, Kept] = {}
        self._configs: dict[str, Kept] = {}
        self.operations: dict[str, Operation] = {
            "CreateModel": self.create_model,
            "DescribeModel": self.describe_model,
            "ListModels": self.list_models,
            "DeleteModel": self.delete_model,
            "CreateEndpointConfig": self.create_config,
            "DescribeEndpointConfig": self.describe_config,
            "ListEndpointConfigs": self.list_configs,
            "DeleteEndpointConfig": self.delete_config,
            "CreateEndpoint": self.create_endpoint,
            "DescribeEndpoint": self.describe_endpoint,
            "ListEndpoints": self.list_endpoints,
            "UpdateEndpoint": self.update_endpoint,
            "UpdateEndpointWeightsAndCapacities": self.update_weights,
            "DeleteEndpoint": self.delete_endpoint,
        }
        """By name; each takes a request and the caller's region."""

    async def open(self) -> None:
        """Read what is kept."""
        for kind, where in (("model", self._models), ("endpoint-config", self._configs)):
            for row in await asyncio.to_thread(self.endpoints.store.all, kind):
                where[row.name] = msgspec.json.decode(row.document, type=Kept)

    async def close(self) -> None:
        """Nothing is left to do."""

    # Models

    async def create_model(self, told: Told, region: str) -> Told:
        """CreateModel."""
        asked = read(told, requests.CreateModel)
        container = container_of(asked)
        if container.mode == "MultiModel":
            raise Misuse("is not served for one model", field="Mode", fix="Serve a folder of models instead.")
        if not container.artefact:
            raise Misuse("names no artefact", field="ModelDataUrl", fix="Give a path, file:// or s3://.")
        check_address(container.artefact, "ModelDataUrl")
        self._free("model", self._models, asked.model_name, region)
        arn = await self._keep("model", self._models, asked.model_name, told, region)
        return {"ModelArn": arn}

    async def describe_model(self, told: Told, region: str) -> Told:
        """DescribeModel."""
        model = self._found("model", self._models, told, "ModelName", region)
        shown = {key: value for key, value in model.given.items() if key != "Tags"}
        return {**shown, "ModelArn": model.arn, "CreationTime": model.created}

    async def list_models(self, told: Told, region: str) -> Told:
        """ListModels."""
        rows = [
            {"ModelName": each.name, "ModelArn": each.arn, "CreationTime": each.created}
            for each in self._models.values()
        ]
        return page(told, rows, "Models", "ModelName")

    async def delete_model(self, told: Told, region: str) -> Told:
        """DeleteModel. Endpoints that serve it go on."""
        model = self._found("model", self._models, told, "ModelName", region)
        await self._forget("model", self._models, model.name)
        return {}

    def model(self, name: str, region: str) -> Kept:
        """The model of that name; Misuse if there is none."""
        return self._found("model", self._models, {"ModelName": name}, "ModelName", region)

    # Configurations

    async def create_config(self, told: Told, region: str) -> Told:
        """CreateEndpointConfig."""
        asked = read(told, requests.CreateEndpointConfig)
        variants, shadows = asked.production_variants, asked.shadow_production_variants
        names = [each.variant_name for each in [*variants, *shadows]]
        if len(set(names)) < len(names):
            raise Misuse("a variant's name occurs twice", field="VariantName", fix="Rename one of them.")
        if shadows and (len(variants) != 1 or len(shadows) != 1):
            raise Misuse(
                "a shadow goes with one production variant, and there is one of it",
                field="ShadowProductionVariants", fix="Give one of each.",
            )  # fmt: skip
        if not any(each.initial_variant_weight > 0 for each in variants):
            raise Misuse("no variant has a weight above 0", field="InitialVariantWeight")
        if asked.data_capture_config is not None:
            check_address(asked.data_capture_config.destination_s3_uri, "DestinationS3Uri")
        if asked.async_inference_config is not None:
            output = asked.async_inference_config.output_config
            check_address(output.s3_output_path, "S3OutputPath")
            check_address(output.s3_failure_path, "S3FailurePath")
        for each in [*variants, *shadows]:
            self.model(each.model_name, region)
        name = asked.endpoint_config_name
        self._free("endpoint-config", self._configs, name, region)
        return {
            "EndpointConfigArn": await self._keep("endpoint-config", self._configs, name, told, region)
        }  # fmt: skip

    async def describe_config(self, told: Told, region: str) -> Told:
        """DescribeEndpointConfig."""
        config = self._config(told, region)
        shown = {key: value for key, value in config.given.items() if key != "Tags"}
        return {**shown, "EndpointConfigArn": config.arn, "CreationTime": config.created}

    async def list_configs(self, told: Told, region: str) -> Told:
        """ListEndpointConfigs."""
        rows = [
            {"EndpointConfigName": each.name, "EndpointConfigArn": each.arn, "CreationTime": each.created}
            for each in self._configs.values()
        ]
        return page(told, rows, "EndpointConfigs", "EndpointConfigName")

    async def delete_config(self, told: Told, region: str) -> Told:
        """DeleteEndpointConfig. Endpoints that were made of it go on."""
        config = self._config(told, region)
        await self._forget("endpoint-config", self._configs, config.name)
        return {}

    def _config(self, told: Told, region: str) -> Kept:
        return self._found("endpoint-config", self._configs, told, "EndpointConfigName", region)

    def _side(self, name: str, generation: int, region: str) -> Side:
        """The variants of a configuration, with their artefacts as the models name them now."""
        config = self._config({"EndpointConfigName": name}, region)
        asked = read(config.given, requests.CreateEndpointConfig)

        def deployed(variant: requests.Variant) -> Deployed:
            container = container_of(
                read(self.model(variant.model_name, region).given, requests.CreateModel)
            )  # fmt: skip
            return Deployed(
                variant.variant_name, variant.model_name, container.artefact, container.image,
                variant.initial_instance_count, variant.initial_variant_weight,
            )  # fmt: skip

        return Side(
            generation, name, [deployed(each) for each in asked.production_variants],
            [deployed(each) for each in asked.shadow_production_variants], asked.data_capture_config,
            asked.async_inference_config,
        )  # fmt: skip

    # Endpoints

    async def create_endpoint(self, told: Told, region: str) -> Told:
        """CreateEndpoint."""
        asked = read(told, requests.CreateEndpoint)
        name = asked.endpoint_name
        async with self.endpoints.lock(name):
            live = self.endpoints.find(name)
            if live is not None:
                raise Misuse(f'Cannot create already existing endpoint "{live.record.arn}".')
            if name in self.endpoints.deployments.names():
                raise Misuse("a model of the server is called so", field="EndpointName", fix="Rename it.")
            side = self._side(asked.endpoint_config_name, 1, region)
            plan_of(asked.deployment_config, side.instances)
            now = clock.now()
            arn = arn_of("endpoint", name, region)
            await self.endpoints.create(EndpointRecord(name, arn, now, now, "Creating", side))
            return {"EndpointArn": arn}

    async def describe_endpoint(self, told: Told, region: str) -> Told:
        """DescribeEndpoint."""
        return description.described(self._endpoint(told, region))

    async def list_endpoints(self, told: Told, region: str) -> Told:
        """ListEndpoints."""
        rows = [
            {
                "EndpointName": each.name, "EndpointArn": each.record.arn,
                "CreationTime": each.record.created, "LastModifiedTime": each.record.modified,
                "EndpointStatus": each.record.status,
            }
            for each in self.endpoints.all()
        ]  # fmt: skip
        return page(told, rows, "Endpoints", "EndpointName")

    async def update_endpoint(self, told: Told, region: str) -> Told:
        """UpdateEndpoint."""
        asked = read(told, requests.UpdateEndpoint)
        async with self.endpoints.lock(asked.endpoint_name):
            live = self._changeable(told, region)
            record = live.record
            side = self._side(asked.endpoint_config_name, record.deployed + 1, region)
            if asked.retain_all_variant_properties:
                left: set[str] = {
                    each.variant_property_type for each in asked.exclude_retained_variant_properties
                }
                _retain(record.blue, side, left)
            given = told.get("DeploymentConfig")
            if given is None and asked.retain_deployment_config:
                given = record.deployment
            config = read(given, requests.DeploymentConfig) if given else None
            plan, now = plan_of(config, side.instances), clock.now()
            changed = replace(
                record, modified=now, status="Updating", failure="", green=side, update=begun(plan, now),
                deployment=given, deployed=side.generation,
            )  # fmt: skip
            await self.endpoints.update(live, changed)
            return {"EndpointArn": record.arn}

    async def update_weights(self, told: Told, region: str) -> Told:
        """UpdateEndpointWeightsAndCapacities."""
        asked = read(told, requests.UpdateWeights)
        async with self.endpoints.lock(asked.endpoint_name):
            live = self._changeable(told, region)
            wanted = {each.variant_name: each for each in asked.desired_weights_and_capacities}
            blue = live.record.blue
            names = [each.name for each in blue.variants]
            for name in wanted:
                if name not in names:
                    raise Misuse(f'Could not find variant "{name}" of endpoint "{live.record.arn}".')
            changed = []
            for each in blue.variants:
                new = wanted.get(each.name)
                if new is not None and new.desired_weight is not None:
                    each = replace(each, weight=new.desired_weight)
                if new is not None and new.desired_instance_count is not None:
                    each = replace(each, instances=new.desired_instance_count)
                changed.append(each)
            if not any(each.weight > 0 for each in changed):
                raise Misuse("no variant has a weight above 0", field="DesiredWeight")
            await self.endpoints.reweigh(live, replace(blue, variants=changed))
            return {"EndpointArn": live.record.arn}

    async def delete_endpoint(self, told: Told, region: str) -> Told:
        """DeleteEndpoint."""
        live = self._endpoint(told, region)
        async with self.endpoints.lock(live.name):
            if live.record.status != "Deleting":
                await self.endpoints.delete(live)
        return {}

    def _endpoint(self, told: Told, region: str) -> LiveEndpoint:
        name = _text(told, "EndpointName")
        live = self.endpoints.find(name)
        if live is None:
            raise Misuse(f'Could not find endpoint "{arn_of("endpoint", name, region)}".')
        return live

    def _changeable(self, told: Told, region: str) -> LiveEndpoint:
        live = self._endpoint(told, region)
        if live.record.status != "InService":
            how = "failed" if live.record.status in ("Failed", "OutOfService") else "in-progress"
            raise Misuse(f'Cannot update {how} endpoint "{live.record.arn}".')
        return live

    # What they share

    async def _keep(self, kind: str, where: dict[str, Kept], name: str, told: Told, region: str) -> str:
        value = Kept(name, arn_of(kind, name, region), clock.now(), told)
        where[name] = value
        try:
            await kept(self.endpoints.store, kind, name, value)
        except TradewindError:
            where.pop(name, None)
            raise
        return value.arn

    async def _forget(self, kind: str, where: dict[str, Kept], name: str) -> None:
        await asyncio.to_thread(self.endpoints.store.remove, kind, name)
        where.pop(name, None)

    def _free(self, kind: str, where: dict[str, Kept], name: str, region: str) -> None:
        if name in where:
            raise Misuse(f'Cannot create already existing {_KINDS[kind]} "{where[name].arn}".')

    def _found(self, kind: str, where: dict[str, Kept], told: Told, field: str, region: str) -> Kept:
        name = _text(told, field)
        if name not in where:
            raise Misuse(f'Could not find {_KINDS[kind]} "{arn_of(kind, name, region)}".')
        return where[name]


def arn_of(kind: str, name: str, region: str) -> str:
    """The name of a resource as SageMaker writes it."""
    return f"arn:aws:sagemaker:{region}:{ACCOUNT}:{kind}/{name.lower()}"


def container_of(asked: requests.CreateModel) -> requests.Container:
    """The one container of a model; Misuse if there are several, or none."""
    containers = [*([asked.primary_container] if asked.primary_container else []), *asked.containers]
    if len(containers) != 1:
        raise Misuse(
            f"the model has {len(containers)} containers", field="PrimaryContainer", fix="Give just one."
        )
    return containers[0]


def _text(told: Told, field: str) -> str:
    name = told.get(field) if isinstance(told, dict) else None
    if not isinstance(name, str) or not name:
        raise Misuse(f"1 validation error detected: Value null at '{field}' must not be null")
    return name


def _retain(old: Side, new: Side, left: set[str]) -> None:
    """Give the variants that both have the weights and replicas that they have now."""
    before = {each.name: each for each in old.variants}
    for each in new.variants:
        if each.name in before:
            if "DesiredWeight" not in left:
                each.weight = before[each.name].weight
            if "DesiredInstanceCount" not in left:
                each.instances = before[each.name].instances
    if "DataCaptureConfig" not in left:
        new.capture = old.capture
