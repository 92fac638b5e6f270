"""Signals under load: a replica killed, the server stopped, the server killed."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time

import numpy as np
import tritonclient.grpc
import troubled_models
from real_server import FACTORS, alive, linear_model, python_model, real_server, rows_body, until
from tritonclient.utils import InferenceServerException


class Load:
    """Clients in threads that ask until told, or until nobody listens any more.

    `answered` counts the right answers; `failed` holds what else became of a request that was sent.
    """

    def __init__(self, clients) -> None:
        self.answered, self.failed = 0, []
        self.stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(each,)) for each in clients]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        until(lambda: self.answered > 10 or self.failed)
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop.set()
        self.join()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def _run(self, client) -> None:
        try:
            while not self.stop.is_set():
                rows = np.random.default_rng(self.answered).integers(-8, 8, size=(2, 4)).astype(np.float32)
                found = client(rows)
                if found is None:
                    return
                assert found == (rows @ np.array(FACTORS)).tolist()
                self.answered += 1
        except BaseException as problem:
            self.failed.append(repr(problem))
        finally:
            client.close()


class OverHttp:
    """A client with one connection that is kept, and made anew where the server ended it with its answer.

    Its answer is None once no connection can be made: then nothing was sent.
    """

    def __init__(self, address: str, model: str = "linear") -> None:
        self._address, self._model = address, model
        self._kept: http.client.HTTPConnection | None = None

    def __call__(self, rows):
        if self._kept is None:
            self._kept = http.client.HTTPConnection(self._address, timeout=30)
            try:
                self._kept.connect()
            except ConnectionRefusedError:
                return None
        self._kept.request("POST", f"/v2/models/{self._model}/infer", json.dumps(rows_body(rows)))
        answer = self._kept.getresponse()
        said = json.loads(answer.read())
        if answer.headers.get("Connection", "").lower() == "close":
            self.close()
        assert answer.status == 200, said
        return said["outputs"][0]["data"]

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None


class OverGrpc:
    """A client with one channel; its answer is None once no connection can be made."""

    def __init__(self, address: str, model: str = "linear") -> None:
        self._client, self._model = tritonclient.grpc.InferenceServerClient(address), model

    def __call__(self, rows):
        given = tritonclient.grpc.InferInput("rows", list(rows.shape), "FP32").set_data_from_numpy(rows)
        try:
            return self._client.infer(self._model, [given]).as_numpy("score").tolist()
        except InferenceServerException as problem:
            if problem.status() == "StatusCode.UNAVAILABLE" and "onnection refused" in problem.message():
                return None
            raise

    def close(self) -> None:
        self._client.close()


def test_no_request_fails_when_replicas_are_killed(tmp_path) -> None:
    trust = python_model(tmp_path, "troubled", "Troubled", instances=2)
    with real_server(tmp_path, trust) as server:
        clients = [OverHttp(server.http, "troubled") for _ in range(3)]
        clients.append(OverGrpc(server.grpc, "troubled"))
        until(lambda: len(server.replicas()) == 2)
        with Load(clients) as load:
            for _ in range(3):
                before = load.answered
                for victim in server.replicas():
                    os.kill(victim, signal.SIGKILL)
                until(lambda before=before: load.answered > before + 20, 20)
            assert server.get("/v2/health/ready")[0] == 200
        assert not load.failed and load.answered > 60


def test_no_request_fails_when_the_server_is_told_to_end(tmp_path) -> None:
    linear_model(tmp_path)
    trust = python_model(tmp_path, "slow", "Slow", max_batch=4)
    with real_server(tmp_path, trust) as server:
        clients = [OverHttp(server.http) for _ in range(3)] + [OverHttp(server.http, "slow")]
        clients += [OverGrpc(server.grpc), OverGrpc(server.grpc, "slow")]
        with Load(clients) as load:
            replicas = server.replicas()
            threading.Event().wait(0.2)
            before = load.answered
            assert server.end() == 0
            load.join()
        assert not load.failed and load.answered > before
        until(lambda: not any(alive(each) for each in replicas))


def test_a_killed_server_leaves_nothing_behind_and_starts_again_at_once(tmp_path) -> None:
    """Nor a replica that hangs in its model, and would not see that its server is gone."""
    trust = python_model(tmp_path, "troubled", "Deaf", instances=2)
    with real_server(tmp_path, trust) as server:
        until(lambda: len(server.replicas()) == 2)
        replicas = server.replicas()
        ports = server.http.rpartition(":")[2], server.grpc.rpartition(":")[2]
        hanging = threading.Thread(target=_hang, args=(server,))
        hanging.start()
        until(lambda: _busy(server) == 1)
        server.end(signal.SIGKILL)
        until(lambda: not any(alive(each) for each in replicas))
        hanging.join(10)
        with real_server(tmp_path, trust, "--port", ports[0], "--grpc-port", ports[1]) as again:
            client = OverGrpc(again.grpc, "troubled")
            assert client(np.ones((1, 4), np.float32)) == [sum(FACTORS)]
            client.close()


def _hang(server) -> None:
    try:
        server.post("/v2/models/troubled/infer", rows_body([[troubled_models.HANG, 0, 0, 0]]))
    except (OSError, http.client.HTTPException):
        return
    raise AssertionError("it answered")


def _busy(server) -> int:
    lines = server.get("/metrics")[2].decode().splitlines()
    return sum(int(float(each.rpartition(" ")[2])) for each in lines if 'state="busy"' in each)


def test_a_batch_that_never_ends_does_not_keep_the_server_from_ending(tmp_path) -> None:
    trust = python_model(tmp_path, "troubled", "Deaf")
    with real_server(tmp_path, trust, "--grace", "0.5") as server:
        replicas = server.replicas()
        hanging = threading.Thread(target=_hang, args=(server,))
        hanging.start()
        until(lambda: _busy(server) == 1)
        began = time.perf_counter()
        assert server.end() == 1  # not every request was answered
        assert time.perf_counter() - began < 8.0
        hanging.join(10)
        until(lambda: not any(alive(each) for each in replicas))
