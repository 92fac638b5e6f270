"""Tasks, the variants that answer them, and what one was measured to do: the nouns of model-less serving.

Romero, Li, Yadwadkar and Kozyrakis, "INFaaS: Automated Model-less Inference Serving", USENIX ATC 2021,
section 3: a user names a task, or an architecture, or one variant; the variants of an architecture differ in
precision, runtime, hardware and batch. Seconds, bytes, rows and US dollars throughout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from msgspec import Struct

from tradewind.errors import Misuse, suggestion
from tradewind.serving.batching.interface import Latency
from tradewind.serving.tensors import TensorSpec

HARDWARE = ("cpu", "gpu", "inferentia")
"""Kinds of hardware that the published rules treat differently."""


class Task(Struct, frozen=True):
    """A question that several models answer, such as the digit in a picture of 8 by 8."""

    name: str
    metric: str = "accuracy"
    """What the variants' `accuracy` measures; it lies between 0 and 1, and more is better."""
    description: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    """What every variant takes; of a single input, name and precision may be a variant's own."""
    outputs: tuple[TensorSpec, ...] = ()
    """What every variant gives, of those that it gives."""


class Variant(Struct, frozen=True):
    """One way of answering a task: a model artefact, a runtime, a batch limit and a resource kind."""

    name: str
    task: str
    architecture: str
    """Variants of one architecture compute the same function, but for rounding."""
    artefact: str
    """Where the model lies: what `open_model` is given."""
    runtime: str
    """Such as onnxruntime."""
    resource: str
    """The instance type that a replica runs on."""
    accuracy: float
    """The task's metric on rows that it was not trained on."""
    tested: int = 0
    """On how many rows; 0 takes `accuracy` as certain."""
    precision: str = "fp32"
    max_batch: int = 1
    """Rows that run together at most."""
    hardware: str = "cpu"
    """One of `HARDWARE`."""

    def accuracy_at(self, confidence: float) -> float:
        """What its accuracy is at least, with that confidence: Wilson's one-sided bound over `tested` rows.

        Wilson, "Probable inference, the law of succession, and statistical inference", 1927. At a confidence
        of 0.5 or less, or where nothing was tested, it is `accuracy` itself.
        """
        if not self.tested or confidence <= 0.5:
            return self.accuracy
        z, n, p = NormalDist().inv_cdf(confidence), self.tested, self.accuracy
        spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, (p + z * z / (2 * n) - spread) / (1 + z * z / n))


class Profile(Struct, frozen=True):
    """What a variant was measured to do on its resource."""

    variant: str
    batches: tuple[int, ...]
    """Rows of the batches that were timed, rising."""
    seconds: tuple[float, ...]
    """The median time of each."""
    latency: Latency
    """The line through them."""
    load: float
    """Seconds until it answers after it was wanted."""
    memory: int
    """Bytes at most."""
    size: int
    """Bytes of the artefact."""
    per_hour: float
    """US dollars for what one replica takes of its resource."""

    def throughput(self, rows: float) -> float:
        """Rows a second of a replica that runs batches of that many rows, one after the other."""
        return rows / (self.latency.per_row * rows + self.latency.fixed)

    def per_request(self, rows: float = 1.0, taking: float = 1.0) -> float:
        """US dollars of a request of `taking` rows in a batch of `rows` on a replica that is always busy."""
        return self.per_hour / 3600.0 * taking / self.throughput(rows)


class Rated(Struct, frozen=True):
    """A variant and its profile."""

    variant: Variant
    profile: Profile

    @property
    def name(self) -> str:
        """The variant's."""
        return self.variant.name


def check_task(task: Task) -> None:
    """Misuse, naming the field, where a task is not well said."""
    if not task.name:
        raise Misuse("it has no name", source="task", field="name", fix="Give one, such as digits.")


def check_variant(variant: Variant) -> None:
    """Misuse, naming the field and the fix, where a variant is not well said."""
    source = f"variant {variant.name!r}"
    for field in ("name", "task", "architecture", "artefact", "runtime", "resource", "precision"):
        if not getattr(variant, field):
            raise Misuse("it is empty", source=source, field=field, fix="Give a text.")
    if not 0.0 <= variant.accuracy <= 1.0:  # also refuses nan
        raise Misuse(
            f"{variant.accuracy!r} is not between 0 and 1", source=source, field="accuracy",
            fix="Give a share, such as 0.97 for 97 %.",
        )  # fmt: skip
    if variant.tested < 0:
        raise Misuse(f"{variant.tested} rows", source=source, field="tested", fix="Give 0 or more.")
    if variant.max_batch < 1:
        raise Misuse(
            f"{variant.max_batch} rows hold no request", source=source, field="max_batch",
            fix="Give 1 or more.",
        )  # fmt: skip
    if variant.hardware not in HARDWARE:
        raise Misuse(
            f"{variant.hardware!r} is not known", source=source, field="hardware",
            fix=suggestion(variant.hardware, HARDWARE),
        )  # fmt: skip


def check_profile(profile: Profile, variant: Variant) -> None:
    """Misuse, naming the field and the fix, where a profile is not one of that variant."""
    source = f"profile of {variant.name!r}"
    if profile.variant != variant.name:
        raise Misuse(f"it is of {profile.variant!r}", source=source, field="variant", fix="Give its own.")
    if not profile.batches or len(profile.batches) != len(profile.seconds):
        raise Misuse(
            f"{len(profile.batches)} batches have {len(profile.seconds)} times", source=source,
            field="seconds", fix="Give one time for each batch, and one batch at least.",
        )  # fmt: skip
    if sorted(set(profile.batches)) != list(profile.batches) or profile.batches[0] < 1:
        raise Misuse("they do not rise from 1 or more", source=source, field="batches", fix="Sort them.")
    if profile.batches[-1] > variant.max_batch:
        raise Misuse(
            f"{profile.batches[-1]} rows are more than its max_batch, {variant.max_batch}", source=source,
            field="batches", fix="Time no larger batch.",
        )  # fmt: skip
    numbers = {
        "seconds": min(profile.seconds), "latency.fixed": profile.latency.fixed,
        "latency.per_row": profile.latency.per_row, "latency.deviation": profile.latency.deviation,
        "load": profile.load, "memory": profile.memory, "size": profile.size, "per_hour": profile.per_hour,
    }  # fmt: skip
    for field, value in numbers.items():
        if not 0 <= value < math.inf:
            raise Misuse(f"{value!r} is below 0 or not finite", source=source, field=field, fix="Measure it.")
    if not 0 < profile.latency.of(1) < math.inf:
        raise Misuse("a row takes no time", source=source, field="latency", fix="Measure it.")


def fitted(batches: Sequence[int], seconds: Sequence[float]) -> Latency:
    """The line `per_row * b + fixed` through measured times by least squares, neither part below 0.

    The squares are of relative errors, as small batches are what most requests travel in: each point weighs
    1 / seconds**2. The deviation is the root mean square of what is left, in seconds, with the degrees of
    freedom that two parts leave. One batch alone gives a line through the origin.
    """
    points = [(float(b), float(s)) for b, s in zip(batches, seconds, strict=True)]
    if not points or any(b < 1 or not 0 < s < math.inf for b, s in points):
        raise Misuse(
            "a line needs batches of 1 row or more and times above 0", field="seconds",
            fix="Time a batch of one row at least.",
        )  # fmt: skip
    weights = [1.0 / (s * s) for _, s in points]
    total = sum(weights)
    mean_b = sum(w * b for w, (b, _) in zip(weights, points, strict=True)) / total
    mean_s = sum(w * s for w, (_, s) in zip(weights, points, strict=True)) / total
    square = sum(w * (b - mean_b) ** 2 for w, (b, _) in zip(weights, points, strict=True))
    product = sum(w * (b - mean_b) * (s - mean_s) for w, (b, s) in zip(weights, points, strict=True))
    if square == 0.0:
        per_row, fixed = points[0][1] / points[0][0], 0.0
    else:
        per_row = product / square
        fixed = mean_s - per_row * mean_b
        if per_row < 0:
            per_row, fixed = 0.0, mean_s
        elif fixed < 0:
            fixed = 0.0
            per_row = sum(w * b * s for w, (b, s) in zip(weights, points, strict=True)) / sum(
                w * b * b for w, (b, _) in zip(weights, points, strict=True)
            )
    rest = sum((s - per_row * b - fixed) ** 2 for b, s in points)
    return Latency(per_row, fixed, math.sqrt(rest / max(1, len(points) - 2)))
