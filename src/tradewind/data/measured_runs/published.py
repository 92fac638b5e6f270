"""Run tables that others published, each in the columns that it came in.

- Scout's multi-node runs of Hadoop and Spark (Hsu, Nair, Menzies and Freeh; oxhead/scout), as one CSV file:
  `workload,config,completed,elapsed_s,...`. No prices came with them: those are list prices.
- CherryPick's runs as Lynceus-ICDCS holds them: `exp_name,...,num_machines,time,...,disk_*,vm_*`.
- Lynceus's TensorFlow jobs (Casimiro and others, ICDCS 2020), and TrimTuner's of the same columns.
- C3O's run times (Will and others, 2021), tab-separated, the job's name being the file's.
- IBM's multi-cloud table (Lazuka and others, 2022).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping

from tradewind.data.catalogs import aws_catalog
from tradewind.data.measured_runs.table import positive
from tradewind.errors import Misuse
from tradewind.market.measured_runs import MeasuredRun

_REGION = "us-east-1"
_SHORT = 7000.0
"""Seconds from which a Scout run that did not complete was ended at the two hours that it was given."""
_T2 = {"t2.small": (1, 2.0, 0.023), "t2.medium": (2, 4.0, 0.0464), "t2.xlarge": (4, 16.0, 0.1856),
       "t2.2xlarge": (8, 32.0, 0.3712)}  # fmt: skip
"""vCPUs, GiB and dollars an hour, as the code beside Lynceus's data reckons."""
_ACCURATE, _TIME_OUT = 0.85, 600.0
"""A TensorFlow job is done when it is as accurate, and was ended after so many seconds."""


def scout(text: str, source: str) -> tuple[MeasuredRun, ...]:
    """Scout's multi-node runs. A workload's name begins with the program, before its size and engine."""
    found = []
    for where, row in _rows(text, source, ("workload", "config", "completed", "elapsed_s")):
        count, _, rest = row["config"].partition("_")
        kind = rest.partition("_")[0]
        seconds = positive(row["elapsed_s"], where, "elapsed_s")
        whole = row["completed"] == "True"
        status = "done" if whole else "timed_out" if seconds >= _SHORT else "failed"
        program = row["workload"].partition("_")[0]
        found.append(_on_list_price(row["workload"], program, int(count), kind, seconds, status))
    return tuple(found)


def cherrypick(text: str, source: str) -> tuple[MeasuredRun, ...]:
    """CherryPick's runs; local disks cost nothing, others by the gigabyte and month as the columns say."""
    found = []
    needed = ("exp_name", "num_machines", "time", "vm_name", "vm_cost", "cpu_count", "ram", "disk_name")
    for where, row in _rows(text, source, needed):
        machines, per_machine = int(row["num_machines"]), positive(row["vm_cost"], where, "vm_cost")
        disks = int(row["disk_count"])
        month = float(row["disk_cost"]) * float(row["disk_size"]) * disks
        per_hour = machines * (per_machine + month / 730)
        seconds = positive(row["time"], where, "time")
        features: dict[str, float | str] = {
            "machines": machines, "vcpus": float(row["cpu_count"]), "memory_gib": float(row["ram"]),
            "family": row["vm_name"].partition(".")[0], "vm_speed": row["vm_speed"], "disk": row["disk_name"],
            "disks": disks,
        }  # fmt: skip
        name = f"{machines}x{row['vm_name']}+{disks}{row['disk_name']}"
        dollars = per_hour * seconds / 3600
        found.append(
            MeasuredRun(row["exp_name"], row["exp_name"], name, per_hour, seconds, dollars, "done", features)
        )
    return tuple(found)


def tensorflow(text: str, source: str) -> tuple[MeasuredRun, ...]:
    """Training of one network by cluster and hyper-parameters; the workload is the file's name."""
    found = []
    name = source.replace("\\", "/").rpartition("/")[2].partition(".")[0]
    needed = (
        "n_workers",
        "n_ps",
        "learning_rate",
        "batch_size",
        "synchronism",
        "training_time",
        "acc",
        "vm_flavor",
    )
    for where, row in _rows(text, source, needed):
        if row["vm_flavor"] not in _T2:
            raise Misuse(
                f"no price of {row['vm_flavor']!r}", source=where, field="vm_flavor", fix="Name a t2 type."
            )
        vcpus, memory, price = _T2[row["vm_flavor"]]
        workers = int(row["n_workers"])
        machines = workers + int(row["n_ps"]) + 1
        per_hour, seconds = machines * price, positive(row["training_time"], where, "training_time")
        whole = float(row["acc"]) >= _ACCURATE
        status = "done" if whole else "timed_out" if seconds >= _TIME_OUT else "failed"
        features: dict[str, float | str] = {
            "machines": workers, "vcpus": vcpus, "memory_gib": memory,
            "learning_rate": float(row["learning_rate"]), "batch": float(row["batch_size"]),
            "synchronism": row["synchronism"],
        }  # fmt: skip
        inputs = {}
        workload = name
        if size := row.get("training_set_size"):
            inputs, workload = {"rows": float(size)}, f"{name}-{int(float(size))}"
        learning = f"{row['learning_rate']}/{row['batch_size']}/{row['synchronism']}"
        found.append(
            MeasuredRun(
                workload,
                name,
                f"{workers}x{row['vm_flavor']} {learning}",
                per_hour,
                seconds,
                per_hour * seconds / 3600,
                status,
                features,
                inputs,
            )
        )
    return tuple(found)


def c3o(text: str, source: str) -> tuple[MeasuredRun, ...]:
    """C3O's runs, repeats as they come; a workload is the job with its parameters."""
    job = source.replace("\\", "/").rpartition("/")[2].partition(".")[0]
    known = ("instance_count", "machine_type", "slots", "memory", "gross_runtime")
    found = []
    for where, row in _rows(text, source, known, "\t"):
        inputs = {key: float(value) for key, value in row.items() if key not in known}
        workload = " ".join([job, *(f"{key}={value:g}" for key, value in inputs.items())])
        seconds = positive(row["gross_runtime"], where, "gross_runtime")
        one = _on_list_price(workload, job, int(row["instance_count"]), row["machine_type"], seconds, "done")
        found.append(
            MeasuredRun(
                workload,
                job,
                one.configuration,
                one.per_hour,
                seconds,
                one.dollars,
                "done",
                one.features,
                inputs,
            )
        )
    return tuple(found)


def multi_cloud(text: str, source: str) -> tuple[MeasuredRun, ...]:
    """IBM's runs of Dask workloads at three anonymous providers; what follows the data set is the program."""
    found = []
    for where, row in _rows(
        text, source, ("provider", "nodes", "workload", "target_cost", "target_runtime", "status")
    ):
        features: dict[str, float | str] = {"provider": row["provider"], "machines": float(row["nodes"])}
        for key in ("A_family", "A_vcpu", "B_family", "B_vcpu", "C_family", "C_type", "C_vcpu"):
            features[key] = f"{row[key]}" or "-"
        name = row["provider"] + "".join(
            str(features[key]) for key in features if key[1] == "_" and features[key] != "-"
        )
        seconds, dollars = (positive(row[key], where, key) for key in ("target_runtime", "target_cost"))
        status = {"ok": "done", "Timed out.": "timed_out"}.get(row["status"], "failed")
        program = row["workload"].partition("-")[2]
        found.append(
            MeasuredRun(
                row["workload"],
                program,
                f"{row['nodes']}x{name}",
                dollars / seconds * 3600,
                seconds,
                dollars,
                status,
                features,
            )
        )
    return tuple(found)


LAYOUTS: Mapping[str, Callable[[str, str], tuple[MeasuredRun, ...]]] = {
    "workload,config,completed": scout,
    '"exp_name","exp_id","config_id"': cherrypick,
    "_id/$oid,n_workers": tensorflow,
    "instance_count\tmachine_type": c3o,
    ",provider,A_family": multi_cloud,
}
"""How the first line of a file begins, and what reads it."""


def _on_list_price(
    workload: str, program: str, count: int, kind: str, seconds: float, status: str
) -> MeasuredRun:
    listing = aws_catalog().listing(kind, _REGION)
    resources = listing.type.resources
    family = kind.partition(".")[0]
    features: dict[str, float | str] = {
        "machines": count, "vcpus": resources.vcpus, "memory_gib": resources.memory_gib, "family": family,
    }  # fmt: skip
    per_hour = count * listing.per_hour
    dollars = per_hour * seconds / 3600
    return MeasuredRun(workload, program, f"{count}x{kind}", per_hour, seconds, dollars, status, features)


def _rows(
    text: str, source: str, needed: tuple[str, ...], delimiter: str = ","
) -> list[tuple[str, dict[str, str]]]:
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    if missing := [name for name in needed if name not in (reader.fieldnames or ())]:
        raise Misuse("the column is missing", source=source, field=missing[0], fix="Add it.")
    return [(f"{source}, line {number}", row) for number, row in enumerate(reader, start=2)]
