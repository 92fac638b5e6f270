"""Workloads: what is refused, and that every refusal names its field."""

import msgspec
import pytest

from tradewind.audit.tracing.workload import Input, Ready, Request, Workload
from tradewind.errors import Misuse


def service(**changes: object) -> Workload:
    given: dict[str, object] = {
        "name": "s", "command": ("serve",), "long_running": True, "ready": Ready(port=80), **changes,
    }  # fmt: skip
    return Workload(**given)


def test_a_workload_reads_from_the_builtins_of_a_toml_file():
    read = msgspec.convert(
        {
            "name": "serve",
            "command": ["python3", "serve.py"],
            "long_running": True,
            "ready": {"port": 8000, "path": "/health"},
            "requests": [
                {"method": "POST", "path": "/predict", "body": "{}", "status": 200, "json": {"a": 1}}
            ],
            "inputs": [{"source": "/data", "path": "/in"}],
        },
        Workload,
    )
    read.check("run.toml")
    assert read.requests[0].json == {"a": 1} and read.network == "none" and read.limit == 300.0


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        (Workload("a/b", ("x",)), "name"),
        (Workload("", ("x",)), "name"),
        (Workload("a", ()), "command"),
        (Workload("a", ("",)), "command"),
        (Workload("a", ("x\0",)), "command"),
        (Workload("a", ("x",), env={"A=B": ""}), "env"),
        (Workload("a", ("x",), workdir="tmp"), "workdir"),
        (Workload("a", ("x",), outputs=("/a/../b",)), "outputs"),
        (Workload("a", ("x",), inputs=(Input("data", "/in"),)), "inputs"),
        (Workload("a", ("x",), inputs=(Input("/data", "/proc/self"),)), "inputs"),
        (Workload("a", ("x",), inputs=(Input("/data", "/"),)), "inputs"),
        (Workload("a", ("x",), limit=0), "limit"),
        (Workload("a", ("x",), limit=float("nan")), "limit"),
        (Workload("a", ("x",), capabilities=("SYS_ADMIN",)), "capabilities"),
        (Workload("a", ("x",), requests=(Request(),)), "requests"),
        (service(ready=Ready()), "ready"),
        (service(ready=Ready(path="/health")), "ready"),
        (service(ready=Ready(log="(")), "ready.log"),
        (service(ready=Ready(log="up"), requests=(Request(),)), "requests[0]"),
        (service(requests=(Request(method="BREW"),)), "requests[0]"),
        (service(requests=(Request("/a b"),)), "requests[0]"),
        (service(requests=(Request(headers={"a": "b\r\nc: d"}),)), "requests[0]"),
        (service(requests=(Request(port=70000),)), "requests"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_cannot_be_run_is_refused_by_its_field(wrong, where):
    with pytest.raises(Misuse) as refused:
        wrong.check("run.toml")
    assert refused.value.field == where and refused.value.source == "run.toml"
