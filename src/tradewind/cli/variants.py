"""`tradewind variants`: the models that answer one task, measured, for `tradewind serve --variants`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from tradewind.cli import terminal
from tradewind.serving.models.repository import Trust
from tradewind.serving.server.engine import PROCESS, SERVER
from tradewind.serving.variants.variant import Rated
from tradewind.session.variants import (
    REGION,
    RESOURCE,
    ROWS,
    STORE,
    ReplicaPrice,
    add_variant,
    listed_variants,
    profile_variant,
    remove_variant,
)


def _stored(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give an action the option `--store`."""
    return click.option(
        "--store", default=STORE, show_default=True, help="Where variants are kept: a file, or a URL."
    )(function)


def _measuring(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give an action the options of measuring."""
    for option in (
        click.option("--data", required=True, help="Labelled rows: CSV, LIBSVM, Parquet, or adult.test."),
        click.option(
            "--label", default="label", show_default=True, help="The column of labels in CSV, Parquet."
        ),
        click.option("--rows", type=click.IntRange(1), default=ROWS, show_default=True, help="Used at most."),
        click.option(
            "--isolation",
            type=click.Choice([PROCESS, SERVER]),
            default=PROCESS,
            show_default=True,
            help="Where it is measured: in a process of its own, or in the server's.",
        ),
        click.option("--trust-type", multiple=True, help="A type that a skops file may hold."),
    ):
        function = option(function)
    return function


@click.group(epilog="Example: tradewind variants add digits small.onnx --data digits.csv --precision int8")
def command() -> None:
    """Register the models that answer one task, each measured: how accurate, how quick, how dear."""


@terminal.verb("tradewind variants add digits small.onnx --data digits.csv")
@click.argument("task")
@click.argument("model")
@_measuring
@click.option("--name", default="", help="Of the variant; that of its file or folder if not given.")
@click.option("--architecture", default="", help="What it computes; the variant's name if not given.")
@click.option("--precision", default="fp32", show_default=True, help="Such as int8.")
@click.option("--max-batch", type=click.IntRange(1), default=64, show_default=True, help="Rows run together.")
@click.option("--resource", default=RESOURCE, show_default=True, help="The instance type that is paid for.")
@click.option("--region", default=REGION, show_default=True, help="Where it is paid for.")
@click.option("--per-hour", type=click.FloatRange(0), help="Dollars of a replica, not the price of a core.")
@_stored
def add(
    *, task: str, model: str, data: str, label: str, rows: int, isolation: str, trust_type: tuple[str, ...],
    name: str, architecture: str, precision: str, max_batch: int, resource: str, region: str,
    per_hour: float | None, store: str, as_json: bool,
) -> int:  # fmt: skip
    """Measure a model on labelled rows and register it as a variant of TASK.

    MODEL is a run's folder or a model (ONNX, skops, .pt2, our own layout). The first variant makes the task;
    later ones must take and give the same. A replica is one core: it costs a core's share of the resource.
    """
    found = add_variant(
        store, task, model, data=data, name=name, architecture=architecture, precision=precision,
        max_batch=max_batch, price=ReplicaPrice(resource=resource, region=region, per_hour=per_hour),
        isolation=isolation, trust=Trust(types=trust_type), rows=rows, reading={"label": label},
    )  # fmt: skip
    _show(found, as_json)
    return 0


@terminal.verb("tradewind variants profile small --data digits.csv")
@click.argument("variant")
@_measuring
@_stored
def profile(
    *, variant: str, data: str, label: str, rows: int, isolation: str, trust_type: tuple[str, ...],
    store: str, as_json: bool,
) -> int:  # fmt: skip
    """Measure a variant anew, as on another machine."""
    found = profile_variant(
        store, variant, data=data, isolation=isolation, trust=Trust(types=trust_type), rows=rows,
        reading={"label": label},
    )  # fmt: skip
    _show(found, as_json)
    return 0


@terminal.verb("tradewind variants list")
@click.option("--task", default="", help="Of this task only.")
@_stored
def listed(*, task: str, store: str, as_json: bool) -> int:
    """The variants there are, with what was measured."""
    found = listed_variants(store, task)
    if as_json:
        terminal.show({"variants": [_told(each) for each in found]})
        return 0
    terminal.table(
        ("variant", "task", "architecture", "precision", "runtime", "accuracy", "ms", "rows/s", "MiB",
         "load s", "$/M rows"),
        [_cells(each) for each in found],
        numbers=(5, 6, 7, 8, 9, 10),
    )  # fmt: skip
    return 0


@terminal.verb("tradewind variants remove small")
@click.argument("name")
@_stored
def remove(*, name: str, store: str, as_json: bool) -> int:
    """Forget a variant, or a task with all of its variants; models stay on the disk."""
    gone = remove_variant(store, name)
    if as_json:
        terminal.show({"removed": gone})
    else:
        click.echo(f"removed {', '.join(gone) or name}")
    return 0


for _name, _action in (("add", add), ("profile", profile), ("list", listed), ("remove", remove)):
    command.add_command(_action, _name)


def _show(rated: Rated, as_json: bool) -> None:
    if as_json:
        terminal.show(_told(rated))
        return
    variant, profiled = rated.variant, rated.profile
    click.echo(
        f"{variant.name}: {variant.accuracy:.4f} over {variant.tested} rows, "
        f"{1e3 * profiled.latency.of(1):.3g} ms for one row, {_most(rated):.3g} rows/s in batches of "
        f"{variant.max_batch}, ready after {profiled.load:.2g} s, {profiled.memory / 2**20:.0f} MiB"
    )


def _told(rated: Rated) -> dict[str, Any]:
    return {"variant": rated.variant, "profile": rated.profile}


def _most(rated: Rated) -> float:
    return rated.profile.throughput(rated.variant.max_batch)


def _cells(rated: Rated) -> tuple[str, ...]:
    variant, profiled = rated.variant, rated.profile
    return (
        variant.name,
        variant.task,
        variant.architecture,
        variant.precision,
        variant.runtime,
        f"{variant.accuracy:.4f}",
        f"{1e3 * profiled.latency.of(1):.3g}",
        f"{_most(rated):.4g}",
        f"{profiled.memory / 2**20:.0f}",
        f"{profiled.load:.2f}",
        f"{1e6 * profiled.per_request(variant.max_batch):.3g}",
    )
