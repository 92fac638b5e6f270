"""Calls and answers, as any wire brings and takes them, and the engine that turns one into the other.

A wire (REST, gRPC, SageMaker's contract) translates its bytes into a `Call`, awaits `Engine.infer`, and
translates the `Answer`, or the `Refusal` raised, into its own words. It knows nothing of models.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Protocol

from msgspec import Struct

from tradewind.errors import TradewindError
from tradewind.serving.tensors import Signature, Tensors


class Call(Struct):
    """One inference request."""

    model: str
    inputs: Tensors
    """By name; checked against the model's signature by the engine, which casts nothing."""
    version: str = ""
    """Empty for the one that the endpoint serves."""
    id: str = ""
    """The caller's own; it decides which weighted variant answers, so that a retry comes to the same."""
    outputs: tuple[str, ...] = ()
    """Those wanted; empty for all."""
    deadline: float | None = None
    """The moment after which the answer is worth nothing (`clock.now()`); None for the endpoint's own."""
    variant: str = ""
    """The weighted variant asked for by name; empty to have one drawn."""
    parameters: dict[str, Any] = {}
    """The caller's parameters, given to models that read them."""
    within: float | None = None
    """Seconds in which an answer is wanted, in place of the model's objective; None for that."""


class Answer(Struct):
    """What a model said."""

    model: str
    version: str
    id: str
    outputs: Tensors
    """In the order of the signature, or of the call's `outputs`."""
    variant: str = ""
    """The weighted variant that answered; empty where the endpoint has but one."""


class RefusalKind(Enum):
    """Why a call has no answer: a name, the status in HTTP and the code in gRPC."""

    MALFORMED = (400, "INVALID_ARGUMENT")
    UNAUTHENTICATED = (401, "UNAUTHENTICATED")
    NOT_FOUND = (404, "NOT_FOUND")
    TOO_SLOW_TO_SEND = (408, "DEADLINE_EXCEEDED")
    TOO_LARGE = (413, "RESOURCE_EXHAUSTED")
    OVERLOADED = (429, "RESOURCE_EXHAUSTED")
    """The queue is full: come again after `retry_after`."""
    FAILED = (500, "INTERNAL")
    """The model raised, or its process died twice on this call."""
    NOT_READY = (503, "UNAVAILABLE")
    """Loading, draining, or no replica is up."""
    DEADLINE_PASSED = (504, "DEADLINE_EXCEEDED")
    NO_ROOM = (507, "RESOURCE_EXHAUSTED")
    """The model does not fit into the memory allowed, even with every other one evicted."""

    @property
    def http(self) -> int:
        """The status in HTTP."""
        return self.value[0]

    @property
    def grpc(self) -> str:
        """The name of the status code in gRPC."""
        return self.value[1]


class Refusal(TradewindError):
    """A call that gets an error for an answer; its text is meant for the caller."""

    def __init__(self, kind: RefusalKind, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after
        """Seconds after which it may be worth trying again; None where it is not."""


class ModelState(Struct, frozen=True):
    """A model of the repository, as `index` lists it."""

    name: str
    version: str
    """Empty where no version is loaded or found."""
    state: str
    """READY, UNAVAILABLE, LOADING or UNLOADING, as Triton names them."""
    reason: str = ""


class ModelMetadata(Struct, frozen=True):
    """What the protocol tells of a model."""

    name: str
    versions: tuple[str, ...]
    """Those that may be asked for, in ascending order."""
    platform: str
    """As the protocol's readers know it, such as onnxruntime_onnx."""
    signature: Signature
    max_batch: int
    """Rows that are run together at most; 0 where requests are never batched."""


class DurationStatistic(Struct, frozen=True):
    """How often, and how many seconds together."""

    count: int = 0
    seconds: float = 0.0


class ModelStatistics(Struct):
    """What a model version has done since it was loaded; Triton's statistics extension tells these."""

    name: str
    version: str
    last_inference: float = 0.0
    """The moment of the last batch; 0 before it."""
    inferences: int = 0
    """Rows answered; a request of a model that is not batched counts as one."""
    executions: int = 0
    """Batches run."""
    success: DurationStatistic = DurationStatistic()
    fail: DurationStatistic = DurationStatistic()
    queue: DurationStatistic = DurationStatistic()
    compute_input: DurationStatistic = DurationStatistic()
    compute_infer: DurationStatistic = DurationStatistic()
    compute_output: DurationStatistic = DurationStatistic()
    batches: dict[int, DurationStatistic] = {}
    """By rows in the batch: how many, and their seconds of inference."""


class Engine(Protocol):
    """Answers calls and keeps the models that do. Every method raises Refusal; none raises anything else.

    It lives on one event loop, and every method is called there.
    """

    @property
    def live(self) -> bool:
        """Whether the server runs at all."""
        ...

    @property
    def ready(self) -> bool:
        """Whether every model that should be loaded is, and the server is not draining."""
        ...

    async def infer(self, call: Call) -> Answer:
        """The answer of one model to one call; the call is checked, queued, batched and run."""
        ...

    def default_model(self) -> str:
        """The model that a wire without names in its paths means; NOT_FOUND unless there is just one."""
        ...

    def index(self) -> tuple[ModelState, ...]:
        """Every model of the repository, by name and version."""
        ...

    def is_ready(self, name: str, version: str = "") -> bool:
        """Whether the model can answer now; NOT_FOUND if there is none of that name."""
        ...

    def metadata(self, name: str, version: str = "") -> ModelMetadata:
        """What it takes and gives; NOT_FOUND, or NOT_READY where it must be loaded first."""
        ...

    async def described(self, name: str, version: str = "") -> ModelMetadata:
        """What it takes and gives, for which it is loaded where `infer` would load it."""
        ...

    def statistics(self, name: str = "", version: str = "") -> tuple[ModelStatistics, ...]:
        """What models have done; all of them if `name` is empty."""
        ...

    async def load(self, name: str, settings: dict[str, Any] | None = None) -> None:
        """Load a model of the repository, or load it anew; calls in flight are answered by the old one."""
        ...

    async def unload(self, name: str) -> None:
        """Stop answering for a model, once what is in flight is answered; silent if it is not loaded."""
        ...
