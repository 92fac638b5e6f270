"""Batch transform: jobs that run whole files of records through a model, as SageMaker's transform jobs do.

Amazon SageMaker API, CreateTransformJob and its like. One task for each object of the input: its records are
cut apart, filtered, packed, answered with at most MaxConcurrentTransforms under way, put together in their
order and written as `<key>.out`, whole or not at all. An object that fails fails the job; outputs that are
done stay. After a kill -9 a job goes on with the objects that are not done.

Payloads of several records are packed to 64 KiB at most, however much MaxPayloadInMB allows: a larger one
saves nothing here, and requests of callers would wait while it is read.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct, field

from tradewind import clock
from tradewind.data.object_store import open_store
from tradewind.errors import Misuse, TradewindError
from tradewind.serving.batch_transform.records import (
    CSV,
    JSON,
    LINES,
    Processing,
    cut,
    joined,
    kind_of,
    payloads,
    taken,
)
from tradewind.serving.batch_transform.requests import CreateTransformJob
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.rollout.requests import CreateModel, check_address, read
from tradewind.serving.server.endpoints.control_plane import (
    ControlPlane,
    Operation,
    Told,
    arn_of,
    container_of,
)
from tradewind.serving.server.endpoints.engine import kept
from tradewind.serving.server.endpoints.listing import page
from tradewind.serving.server.http.invocations import invoke
from tradewind.serving.server.http.messages import Request

_KIND = "transform-job"
_PACKED = 64 << 10
"""Bytes of a payload of several records."""
_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
"""Seconds before a payload that was refused for want of room is tried again: at first, and at most."""
_BUSY = (RefusalKind.OVERLOADED, RefusalKind.NOT_READY, RefusalKind.DEADLINE_PASSED)


class Job(Struct):
    """A job, as it is kept."""

    name: str
    arn: str
    created: float
    given: dict[str, Any]
    artefact: str
    status: str = "InProgress"
    started: float | None = None
    ended: float | None = None
    failure: str = ""
    done: list[str] = field(default_factory=list)
    """Keys of the objects whose outputs are written."""


class TransformJobs:
    """The jobs of a server, run on the engine of its endpoints."""

    def __init__(self, plane: ControlPlane, said: Callable[[str], None] = lambda text: None) -> None:
        self._plane, self._said = plane, said
        self._endpoints = plane.endpoints
        plane.endpoints.beside.append(self)
        self._jobs: dict[str, Job] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping: set[str] = set()
        self.operations: dict[str, Operation] = {
            "CreateTransformJob": self.create,
            "DescribeTransformJob": self.describe,
            "ListTransformJobs": self.list_jobs,
            "StopTransformJob": self.stop,
        }

    async def open(self) -> None:
        """Go on with the jobs that were under way."""
        for row in await asyncio.to_thread(self._endpoints.store.all, _KIND):
            job = self._jobs[row.name] = msgspec.json.decode(row.document, type=Job)
            if job.status == "Stopping":
                await self._over(job, "Stopped")
            elif job.status == "InProgress":
                self._start(job)

    async def close(self) -> None:
        """Stop; jobs under way go on at the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def create(self, told: Told, region: str) -> Told:
        """CreateTransformJob."""
        asked = read(told, CreateTransformJob)
        name = asked.transform_job_name
        asked.processing()
        check_address(asked.transform_input.data_source.s3_data_source.s3_uri, "S3Uri")
        check_address(asked.transform_output.s3_output_path, "S3OutputPath")
        if name in self._jobs:
            raise Misuse(
                f"Job name must be unique within an AWS account and region, and a job with this name already "
                f"exists ({self._jobs[name].arn})"
            )
        model = read(self._plane.model(asked.model_name, region).given, CreateModel)
        artefact = container_of(model).artefact
        job = Job(name, arn_of(_KIND, name, region), clock.now(), told, artefact)
        self._jobs[name] = job
        try:
            await self._kept(job)
        except TradewindError:
            self._jobs.pop(name, None)
            raise
        self._start(job)
        return {"TransformJobArn": job.arn}

    async def describe(self, told: Told, region: str) -> Told:
        """DescribeTransformJob."""
        job = self._found(told, region)
        shown = {key: value for key, value in job.given.items() if key != "Tags"}
        shown |= {
            "TransformJobArn": job.arn, "TransformJobStatus": job.status, "CreationTime": job.created,
        }  # fmt: skip
        if job.failure:
            shown["FailureReason"] = job.failure[:1024]
        if job.started is not None:
            shown["TransformStartTime"] = job.started
        if job.ended is not None:
            shown["TransformEndTime"] = job.ended
        return shown

    async def list_jobs(self, told: Told, region: str) -> Told:
        """ListTransformJobs."""
        rows = []
        for job in self._jobs.values():
            row = {
                "TransformJobName": job.name, "TransformJobArn": job.arn, "CreationTime": job.created,
                "TransformJobStatus": job.status,
                "LastModifiedTime": job.ended or job.started or job.created,
            }  # fmt: skip
            if job.ended is not None:
                row["TransformEndTime"] = job.ended
            if job.failure:
                row["FailureReason"] = job.failure[:1024]
            rows.append(row)
        return page(told, rows, "TransformJobSummaries", "TransformJobName")

    async def stop(self, told: Told, region: str) -> Told:
        """StopTransformJob."""
        job = self._found(told, region)
        if job.status not in ("InProgress", "Stopping"):
            raise Misuse(f"The request was rejected because the transform job is in status {job.status}.")
        job.status = "Stopping"
        await self._kept(job)
        self._stopping.add(job.name)
        task = self._tasks.get(job.name)
        if task is not None:
            task.cancel()
        return {}

    def _found(self, told: Told, region: str) -> Job:
        name = told.get("TransformJobName")
        job = self._jobs.get(name) if isinstance(name, str) else None
        if job is None:
            raise Misuse(f'Could not find requested job with name: "{name}".')
        return job

    def _start(self, job: Job) -> None:
        task = asyncio.create_task(self._run(job))
        self._tasks[job.name] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.name, None))

    async def _kept(self, job: Job) -> None:
        await kept(self._endpoints.store, _KIND, job.name, job)

    async def _over(self, job: Job, status: str, failure: str = "") -> None:
        job.status, job.failure, job.ended = status, failure, clock.now()
        await self._kept(job)

    async def _run(self, job: Job) -> None:
        try:
            try:
                await self._transformed(job)
                await self._over(job, "Completed")
            except asyncio.CancelledError:
                if job.name not in self._stopping:
                    raise
                await self._over(job, "Stopped")
            except TradewindError as problem:
                await self._over(job, "Failed", str(problem))
            except Exception as problem:  # what another store's client raises is its own
                await self._over(job, "Failed", f"{type(problem).__name__}: {problem}")
        except TradewindError as problem:
            self._said(f"transform job {job.name} cannot be kept: {problem}")

    async def _transformed(self, job: Job) -> None:
        """Every object of the input, answered and written."""
        asked = read(job.given, CreateTransformJob)
        source = asked.transform_input.data_source.s3_data_source
        if job.started is None:
            job.started = clock.now()
            await self._kept(job)
        root, keys = await asyncio.to_thread(_listed, source.s3_uri)
        left = [key for key in keys if key not in job.done]
        engine, deployments = self._endpoints.engine, self._endpoints.deployments
        model = f"transform.{job.name}"
        place = await asyncio.to_thread(self._endpoints.artefacts.place, job.artefact)
        count = asked.transform_resources.instance_count
        deployments.add(model, place, count)
        try:
            await engine.load(model)
            work = _Work(self, job, asked, model, root, asked.processing())
            objects = asyncio.Semaphore(count)
            async with asyncio.TaskGroup() as group:
                for key in left:
                    group.create_task(work.object(key, objects))
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None
        finally:
            try:
                await engine.unload(model)
            except Refusal as problem:
                self._said(f"{model} could not be unloaded: {problem}")
            deployments.remove(model)

    async def finished(self, job: Job, key: str) -> None:
        """An object's output is written."""
        job.done.append(key)
        await self._kept(job)


class _Work:
    """What the objects of one job have in common."""

    def __init__(
        self,
        jobs: TransformJobs,
        job: Job,
        asked: CreateTransformJob,
        model: str,
        root: str,
        processing: Processing,
    ) -> None:
        self._jobs, self._job, self._asked, self._model, self._root = jobs, job, asked, model, root
        self._processing = processing
        lines = asked.transform_input.split_type == "Line"
        several = lines and asked.batch_strategy == "MultiRecord"
        self._lines, self._several = lines, several
        self._kind = kind_of(asked.transform_input.content_type)
        accept = asked.transform_output.accept or asked.transform_input.content_type
        self._type, self._accept = asked.transform_input.content_type, accept
        if several and self._kind == JSON:
            self._type = LINES
        if several and kind_of(accept) == JSON:
            self._accept = LINES
        self._largest = (asked.max_payload or 100) << 20
        self._room = asyncio.Semaphore(
            (asked.max_concurrent_transforms or 1) * asked.transform_resources.instance_count
        )

    async def object(self, key: str, objects: asyncio.Semaphore) -> None:
        """Answer one object and write its output. Raises TradewindError, naming the object."""
        async with objects:
            try:
                records, sent = await asyncio.to_thread(self._read, key)
                largest = min(self._largest, _PACKED) if self._several else self._largest
                if self._several and (longest := max(map(len, sent), default=0)) > largest:
                    largest = min(self._largest, longest)
                packs = list(payloads(sent, largest, self._several))
                async with asyncio.TaskGroup() as group:
                    answers = [
                        group.create_task(self._answered(b"\n".join(sent[at] for at in pack)))
                        for pack in packs
                    ]
                content = await asyncio.to_thread(
                    self._assembled, records, packs, [each.result() for each in answers]
                )
                await asyncio.to_thread(self._write, f"{key}.out", content)
            except BaseExceptionGroup as several:
                raise Misuse(str(several.exceptions[0]), source=key) from None
            except TradewindError as problem:
                raise Misuse(str(problem), source=key) from None
            await self._jobs.finished(self._job, key)

    def _read(self, key: str) -> tuple[list[bytes], list[bytes]]:
        content = open_store(self._root).get(key)
        if self._asked.transform_input.compression_type == "Gzip":
            try:
                content = gzip.decompress(content)
            except (OSError, EOFError, zlib.error) as problem:
                raise Misuse(f"is not gzip: {problem}", field="CompressionType") from None
        records = cut(content, self._lines)
        return records, [taken(record, self._kind, self._processing) for record in records]

    async def _answered(self, body: bytes) -> bytes:
        """The model's answer to one payload; tried again while there is no room for it."""
        config = self._asked.model_client_config
        failures, pause = 0, _PAUSE
        headers = {"content-type": self._type, "accept": self._accept}
        headers = {name: value for name, value in headers.items() if value}
        engine = self._jobs._endpoints.engine
        async with self._room:
            end = clock.now() + config.invocations_timeout_in_seconds
            while True:
                request = Request("POST", "/invocations", "", dict(headers), body, clock.now())
                try:
                    _, response = await invoke(engine, request, self._model)
                    return response.body if isinstance(response.body, bytes) else b"".join(response.body)
                except Refusal as refusal:
                    failures += refusal.kind is RefusalKind.FAILED
                    again = refusal.kind in _BUSY or (
                        refusal.kind is RefusalKind.FAILED and failures <= config.invocations_max_retries
                    )
                    if not again or clock.now() + pause > end:
                        raise
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _assembled(self, records: list[bytes], packs: list[list[int]], answers: list[bytes]) -> bytes:
        """The output of an object: answers in the order of its records."""
        parts: list[bytes] = []
        for pack, answer in zip(packs, answers, strict=True):
            if not self._processing.reads:
                parts.append(answer.rstrip(b"\n") if self._asked.transform_output.assemble_with == "Line"
                             else answer)  # fmt: skip
                continue
            kind = kind_of(self._accept) or self._kind
            said = cut(answer, True) if kind in (CSV, LINES) else [answer]
            if len(said) != len(pack):
                raise Misuse(
                    f"{len(pack)} records were answered by {len(said)}", field="DataProcessing",
                    fix="Take SingleRecord, or a model that answers every record.",
                )  # fmt: skip
            parts += [
                joined(records[at], each, self._kind, self._processing)
                for at, each in zip(pack, said, strict=True)
            ]
        line = self._asked.transform_output.assemble_with == "Line"
        return b"".join(part + b"\n" for part in parts) if line else b"".join(parts)

    def _write(self, key: str, content: bytes) -> None:
        try:
            open_store(self._asked.transform_output.s3_output_path.rstrip("/")).put(key, content)
        except OSError as problem:
            raise Misuse(
                f"cannot be written: {problem.strerror or problem}",
                source=self._asked.transform_output.s3_output_path,
            ) from None  # fmt: skip


def _listed(address: str) -> tuple[str, list[str]]:
    """The store of the objects at an address, and their keys in it: all that begin with it.

    Misuse where there are none.
    """
    whole = address.removeprefix("file://")
    scheme, found, rest = whole.partition("://")
    root, _, prefix = rest.rpartition("/") if found else whole.rpartition("/")
    if found and not root:
        root, prefix = rest, ""  # the whole bucket
    store = f"{scheme}://{root}" if found else root or ("/" if whole.startswith("/") else ".")
    found_keys = open_store(store).list(prefix)
    outputs = {f"{key}.out" for key in found_keys}
    keys = [key for key in found_keys if key not in outputs]
    inside = f"{prefix}/"
    if prefix and keys and all(key.startswith(inside) for key in keys):
        store, keys = f"{store.rstrip('/')}/{prefix}", [key.removeprefix(inside) for key in keys]
    if not keys:
        raise Misuse("there are no objects", source=address, field="S3Uri", fix="Check the prefix.")
    return store, keys
