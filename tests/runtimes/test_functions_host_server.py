"""The host over real sockets, by boto3: what functions meet, and what their callers do."""

import base64
import concurrent.futures
import json
import os
import signal
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from function_host import Host, until, zipped
from tradewind import clock
from tradewind.errors import Misuse
from tradewind.runtimes.functions.bills import invoice, records
from tradewind.runtimes.functions.client import Functions
from tradewind.runtimes.functions.host.server import FunctionHost, main

CODE = """
import ctypes, json, os, socket, subprocess, sys, tempfile, time
import colorsys  # from outside the package: what a fork server imports beforehand
LOADED = time.perf_counter()
calls = 0

def handler(event, context):
    global calls
    calls += 1
    do = event.get("do")
    if do == "sleep":
        time.sleep(event["seconds"])
    if do == "raise":
        raise ValueError("no such animal")
    if do == "exit":
        os._exit(3)
    if do == "segfault":
        ctypes.string_at(0)
    if do == "ask":
        return len(bytearray(1 << 30))
    if do == "hoard":
        held = []
        while True:
            held.append(bytearray(b"x" * (4 << 20)))
            time.sleep(0.004)
    if do == "listen":
        with socket.socket() as door:
            door.bind(("127.0.0.1", 0))
            door.listen()
    if do == "spawn":
        return [os.getpid(), subprocess.Popen(["sleep", "60"]).pid]
    if do == "large":
        return "x" * event["size"]
    if do == "odd":
        return {1, 2}
    if do == "print":
        print("a line", flush=True)
        print("an error", file=sys.stderr)
    if do == "write":
        with open(event["path"], "a") as file:
            file.write("x")
        raise ValueError("again")
    return {
        "pid": os.getpid(), "calls": calls, "event": event, "tmp": tempfile.gettempdir(),
        "variables": dict(os.environ), "name": context.function_name, "arn": context.invoked_function_arn,
        "left": context.get_remaining_time_in_millis(), "memory": context.memory_limit_in_mb,
        "request": context.aws_request_id, "client": context.client_context,
        "version": context.function_version,
    }
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    # "zip" is "unzipped" against 1 MB here, so that what is too large is quickly made.
    host = Host(
        tmp_path_factory.mktemp("host"), unzipped=1 << 20, concurrency=12, unreserved=2, retries=[0.02, 0.02]
    )
    host.functions.deploy("echo", zipped(CODE), "app.handler", memory=256, timeout=5)
    host.call = lambda event, name="echo": host.functions.call(name, json.dumps(event).encode())
    yield host
    assert host.end() == 0
    left = [p for p in Path("/proc").glob("[0-9]*") if _of(host.root, p)]
    assert not left, "nothing of the host's is left running"


def _of(root, process):
    try:
        return f"TRADEWIND_FUNCTION_HOST={root}".encode() in (process / "environ").read_bytes()
    except OSError:
        return False


def refused(call, *arguments, **named):
    with pytest.raises(Exception) as caught:
        call(*arguments, **named)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], str(caught.value)


def test_the_first_call_is_cold_the_next_is_warm_and_a_fork_starts_the_one_after(host):
    host.functions.deploy("starts", zipped(CODE), "app.handler", memory=256)
    first, second = host.call({}, "starts"), host.call({}, "starts")
    assert first.report.cold and first.report.start == "plain" and not second.report.cold
    told, again = json.loads(first.payload), json.loads(second.payload)
    assert (told["calls"], again["calls"]) == (1, 2) and told["pid"] == again["pid"]
    # What is billed is the start, and the call, in whole milliseconds; used memory was measured.
    assert first.report.billed == -(-(first.report.duration + first.report.init) // 1)
    assert 5 < first.report.used < 256 and first.report.memory == 256
    until(lambda: host.status()["fork_servers"])
    host.api.update_function_configuration(FunctionName="starts", Description="another revision")
    third = host.call({}, "starts")
    assert third.report.start == "forked" and json.loads(third.payload)["calls"] == 1
    assert third.report.init < first.report.init
    (fork_server,) = {_parent(json.loads(third.payload)["pid"])} - {host.process.pid}
    os.kill(fork_server, signal.SIGKILL)
    until(lambda: not host.status()["fork_servers"])
    fourth = host.call({}, "starts")
    assert fourth.error or fourth.report.start == "plain", "its environments went with it"
    fifth = host.call({}, "starts")
    assert not fifth.error and fifth.report.start in ("", "plain")
    until(lambda: host.status()["fork_servers"])
    host.api.update_function_configuration(FunctionName="starts", Description="a third")
    assert host.call({}, "starts").report.start == "forked"
    host.functions.delete("starts")


def test_what_a_handler_is_told(host):
    context = base64.b64encode(b'{"from": "here"}').decode()
    answer = host.api.invoke(FunctionName="echo", Payload=b'{"a": [1]}', ClientContext=context)
    assert answer["StatusCode"] == 200 and answer["ExecutedVersion"] == "$LATEST"
    told = json.loads(answer["Payload"].read())
    assert told["event"] == {"a": [1]} and told["client"] == {"from": "here"} and told["name"] == "echo"
    assert 0 < told["left"] <= 5000 and told["memory"] == "256" and told["version"] == "$LATEST"
    assert told["arn"].endswith(":function:echo") and len(told["request"]) == 36
    variables = told["variables"]
    assert variables["AWS_LAMBDA_FUNCTION_NAME"] == "echo" and variables["_HANDLER"] == "app.handler"
    assert told["tmp"] == variables["TMPDIR"] and told["tmp"].startswith(str(host.root))
    assert "HOME" not in variables, "the host's own environment is none of a function's"


def test_dry_runs_and_events(host, tmp_path):
    assert host.api.invoke(FunctionName="echo", InvocationType="DryRun")["StatusCode"] == 204
    path = tmp_path / "written"
    host.functions.send("echo", json.dumps({"do": "write", "path": str(path)}).encode())
    # It fails each time: tried, and twice again.
    until(lambda: path.exists() and path.read_text() == "xxx")


def test_what_is_printed_comes_with_the_answer(host):
    answer = host.api.invoke(FunctionName="echo", Payload=b'{"do": "print"}', LogType="Tail")
    log = base64.b64decode(answer["LogResult"]).decode().splitlines()
    assert log[0].startswith("START RequestId: ") and log[1:3] == ["a line", "an error"]
    assert log[3].startswith("END RequestId: ") and log[4].startswith("REPORT RequestId: ")
    assert "a line\n" in (host.root / "logs" / "echo.log").read_text()


@pytest.mark.parametrize(
    ("event", "kind", "words"),
    [
        ({"do": "raise"}, "ValueError", "no such animal"),
        ({"do": "exit"}, "Runtime.ExitError", "exit status 3"),
        ({"do": "segfault"}, "Runtime.ExitError", "SIGSEGV"),
        ({"do": "ask"}, "MemoryError", ""),
        ({"do": "hoard"}, "Runtime.OutOfMemory", "256 MB exceeded"),
        ({"do": "listen"}, "PermissionError", "not permitted"),
        ({"do": "large", "size": 6 << 20}, "Function.ResponseSizeTooLarge", "6291456"),
        ({"do": "odd"}, "Runtime.MarshalError", "set"),
    ],
)
def test_calls_that_fail(host, event, kind, words):
    called = host.call(event)
    assert called.error == kind and words in called.message
    after = host.call({})
    assert not after.error
    # A handler that raises keeps its environment; a process that ends is replaced.
    assert after.report.cold == (kind in ("Runtime.ExitError", "Runtime.OutOfMemory"))


def test_a_call_that_takes_too_long_is_cut_off_with_what_it_started(host):
    host.functions.deploy("slow", zipped(CODE), "app.handler", memory=256, timeout=1)
    pid, grandchild = json.loads(host.call({"do": "spawn"}, "slow").payload)
    called = host.call({"do": "sleep", "seconds": 30}, "slow")
    assert called.error == "Sandbox.Timedout" and "timed out after 1.00 seconds" in called.message
    assert called.lost and 1.0 <= called.report.duration / 1000 < 2.5
    for each in (pid, grandchild):
        until(lambda each=each: not Path(f"/proc/{each}").exists() or "Z" in _state(each))
    host.functions.delete("slow")


def _parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_calls_at_a_time_have_an_environment_each_up_to_the_cap(host):
    host.functions.deploy("capped", zipped(CODE), "app.handler", memory=256)
    host.functions.reserve("capped", 2)
    with concurrent.futures.ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(host.call, {"do": "sleep", "seconds": 0.6}, "capped") for _ in range(2)]
        until(lambda: host.status()["running"].get("capped") == 2)
        code, status, _ = refused(host.api.invoke, FunctionName="capped", Payload=b"{}")
        pids = {json.loads(each.result().payload)["pid"] for each in waiting}
    assert (code, status) == ("TooManyRequestsException", 429) and len(pids) == 2
    assert host.api.get_function_concurrency(FunctionName="capped")["ReservedConcurrentExecutions"] == 2
    host.functions.reserve("capped", 0)
    assert refused(host.api.invoke, FunctionName="capped")[:2] == ("TooManyRequestsException", 429)
    assert "at most 10" in refused(host.functions.client.put_function_concurrency, FunctionName="capped",
                                   ReservedConcurrentExecutions=11)[2]  # fmt: skip
    host.api.delete_function_concurrency(FunctionName="capped")
    assert not host.call({}, "capped").error
    host.functions.delete("capped")


def test_a_function_that_no_fork_can_hold_starts_plainly(host):
    code = """
import fractions, os
if b"zygote" in open(f"/proc/{os.getppid()}/cmdline", "rb").read():
    raise RuntimeError("not in a fork")
handler = lambda event, context: 7
"""
    host.functions.deploy("shy", zipped(code), "app.handler", memory=256)
    servers = len(host.status()["fork_servers"])
    assert host.call({}, "shy").payload == b"7"
    until(lambda: len(host.status()["fork_servers"]) > servers)
    for turn in range(2):
        host.api.update_function_configuration(FunctionName="shy", Description=f"turn {turn}")
        called = host.call({}, "shy")
        assert called.payload == b"7" and called.report.start == "plain"
        assert "not in a fork" in host.status()["unfit"][0]
    host.functions.delete("shy")


def test_provisioned_environments_wait_started(host):
    host.functions.deploy("ready", zipped(CODE), "app.handler", memory=256)
    told = {"FunctionName": "ready", "ProvisionedConcurrentExecutions": 1}
    put = host.api.put_provisioned_concurrency_config
    assert refused(put, Qualifier="$LATEST", **told)[0] == "InvalidParameterValueException"
    assert host.api.publish_version(FunctionName="ready")["Version"] == "1"
    put(Qualifier="1", **told)
    get = host.api.get_provisioned_concurrency_config
    until(lambda: get(FunctionName="ready", Qualifier="1")["Status"] == "READY")
    assert host.call({}, "ready").report.cold
    answer = host.api.invoke(FunctionName="ready", Qualifier="1", LogType="Tail", Payload=b"{}")
    assert "Init Duration" not in base64.b64decode(answer["LogResult"]).decode()
    assert answer["ExecutedVersion"] == "1"
    variables = json.loads(answer["Payload"].read())["variables"]
    assert variables["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency"
    host.api.invoke(FunctionName="ready", Qualifier="1", Payload=b'{"do": "exit"}')
    until(lambda: get(FunctionName="ready", Qualifier="1")["Status"] == "READY")
    host.api.delete_provisioned_concurrency_config(FunctionName="ready", Qualifier="1")
    code = refused(get, FunctionName="ready", Qualifier="1")[0]
    assert code == "ProvisionedConcurrencyConfigNotFoundException"
    host.functions.delete("ready")


def test_requests_that_are_refused(host):
    invoke, create = host.api.invoke, host.api.create_function
    assert refused(invoke, FunctionName="nobody")[:2] == ("ResourceNotFoundException", 404)
    assert refused(invoke, FunctionName="echo", Payload=b"{")[0] == "InvalidRequestContentException"
    large = b'"' + b"x" * (6 << 20) + b'"'
    assert refused(invoke, FunctionName="echo", Payload=large)[:2] == ("RequestTooLargeException", 413)
    new = {
        "FunctionName": "new", "Role": "arn:aws:iam::000000000000:role/function", "Handler": "app.handler",
        "Runtime": f"python3.{sys.version_info[1]}", "Code": {"ZipFile": zipped(CODE)},
    }  # fmt: skip
    assert refused(create, **new | {"FunctionName": "echo"})[:2] == ("ResourceConflictException", 409)
    wrong = {
        "Runtime": "python2.7", "Timeout": 901, "MemorySize": 10241, "Handler": "handler",
        "Environment": {"Variables": {"AWS_REGION": "here"}}, "Layers": ["arn:x"],
        "Code": {"S3Bucket": "bucket", "S3Key": "key"},
    }  # fmt: skip
    for field, value in wrong.items():
        code, status, text = refused(create, **new | {field: value})
        assert (code, status) == ("InvalidParameterValueException", 400), field
        assert field in text or field == "Code"
    for package in (b"no zip", zipped(**{"../escaped.py": "x"}), zipped(CODE, blob="x" * (1 << 20))):
        assert refused(create, **new | {"Code": {"ZipFile": package}})[0] == "InvalidParameterValueException"
    assert not list(host.root.glob("**/escaped.py")) and "new" not in host.api.list_functions()["Functions"]


def test_code_that_cannot_be_loaded_says_why_and_new_code_heals_it(host):
    for code, handler, kind in (
        ("import nothing_of_the_kind", "app.handler", "Runtime.ImportModuleError"),
        ("x = 1", "app.handler", "Runtime.HandlerNotFound"),
        ("1 / 0", "app.handler", "ZeroDivisionError"),
        ("import os; os._exit(4)", "app.handler", "Runtime.ExitError"),
    ):
        host.functions.deploy("broken", zipped(code), handler)
        called = host.call({}, "broken")
        assert called.error == kind, called
    host.functions.deploy("broken", zipped("handler = lambda event, context: 7"), "app.handler")
    assert host.call({}, "broken").payload == b"7"
    told = host.api.get_function(FunctionName="broken")
    assert told["Configuration"]["Handler"] == "app.handler" and told["Configuration"]["MemorySize"] == 1769
    host.functions.delete("broken")


def test_every_call_is_on_the_bill(host):
    host.functions.deploy("billed", zipped(CODE), "app.handler", memory=512)
    reports = [host.call({}, "billed").report for _ in range(3)]
    mine = [each for each in records(host.root / "calls.jsonl") if each.function == "billed"]
    assert [each.billed for each in mine] == [each.billed for each in reports]
    owed = 0.5 * sum(each.billed for each in reports) / 1000 * 0.0000166667 + 3 * 0.0000002
    assert float(invoice(mine).total) == pytest.approx(owed, rel=1e-9)
    host.functions.delete("billed")


def test_a_host_that_is_killed_leaves_nothing_running_and_comes_back_with_its_functions(tmp_path):
    host = Host(tmp_path)
    host.functions.deploy("kept", zipped(CODE), "app.handler", memory=256)
    pids = [json.loads(host.functions.call("kept", b'{"do": "spawn"}').payload)]
    until(lambda: host.status()["fork_servers"])
    host.api.update_function_configuration(FunctionName="kept", Timeout=9)
    pids.append(json.loads(host.functions.call("kept", b'{"do": "spawn"}').payload))
    os.kill(host.process.pid, signal.SIGKILL)
    host.end()
    for environment, _ in pids:
        until(lambda each=environment: not Path(f"/proc/{each}").exists() or "Z" in _state(each))
    again = Host(tmp_path)
    assert all("Z" in _state(grandchild) for _, grandchild in pids), "what functions started is swept"
    assert again.api.get_function_configuration(FunctionName="kept")["Timeout"] == 9
    assert not again.functions.call("kept", b"{}").error
    assert again.end() == 0


def test_beyond_loopback_it_wants_a_token(tmp_path, capsys):
    async def refused_to_listen():
        host = FunctionHost(tmp_path / "open")
        with pytest.raises(Misuse, match="no token is asked for"):
            await host.start("0.0.0.0")

    clock.run(refused_to_listen())
    assert main(["--root", str(tmp_path / "bad"), "--limits", '{"idle": "long"}']) == 2
    assert "idle" in capsys.readouterr().err

    async def guarded():
        loop = __import__("asyncio").get_running_loop()
        host = FunctionHost(tmp_path / "guarded", token="secret")
        url = await host.start()
        other = FunctionHost(tmp_path / "guarded")
        with pytest.raises(Misuse, match="another host has this folder"):
            await other.start()
        stranger, ours = Functions(url), Functions(url, token="secret")
        with pytest.raises(Misuse, match="security token"):
            await loop.run_in_executor(None, stranger.configuration, "any")
        found = await loop.run_in_executor(None, ours.client.list_functions)
        await host.close()
        stranger.close(), ours.close()
        return found["Functions"]

    assert clock.run(guarded()) == []


SIGNED = b"GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: AWS4-HMAC-SHA256 Credential=a/b\r\n\r\n"


def test_odd_http_is_refused_and_the_host_lives(host):
    port = int(host.url.rpartition(":")[2])
    for sent, status in (
        (b"hello\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"GET / HTTP/9\r\n\r\n", b"505"),
        (b"GET /" + b"x" * 70000, b"431"),
        (b"GET /nowhere HTTP/1.1\r\nConnection: close\r\n\r\n", b"403"),
        (SIGNED % (b"/nowhere", b"127.0.0.1:1"), b"404"),
        # What a page could have a browser send: unsigned, or signed, under a name that leads here.
        (b"POST /2015-03-31/functions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n", b"403"),
        (SIGNED % (b"/2015-03-31/functions/", b"127.0.0.1"), b"200"),
        (SIGNED % (b"/2015-03-31/functions/", b"[::1]:80"), b"200"),
        (SIGNED % (b"/2015-03-31/functions/", b"rebound.example"), b"403"),
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
            line.sendall(sent)
            assert line.recv(100).split(b" ")[1] == status
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{host.url}/2015-03-31/functions/echo/elsewhere", timeout=5)
    assert not host.call({}).error
