"""What holds of the server whatever is asked of it: errors, limits, deadlines, the token, draining."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_stage import ROWS, SERVICE, Running, Streamed, running, tensor, until
from tritonclient.grpc import service_pb2 as published
from tritonclient.utils import InferenceServerException

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.serving.server.grpc.messages import open_messages
from tradewind.serving.server.grpc.server import GrpcLimits, tls_credentials


@pytest.fixture(scope="module")
def server():
    with running() as it:
        yield it


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(server.address) as it:
        yield it


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.address) as it:
        yield it


@pytest.fixture
def infer(channel):
    return channel.unary_unary(
        SERVICE + "ModelInfer",
        published.ModelInferRequest.SerializeToString,
        published.ModelInferResponse.FromString,
    )


def test_an_error_tells_nothing_of_its_cause_and_harms_no_other(client, server):
    with pytest.raises(InferenceServerException) as failure:
        client.infer("broken", [tensor("x", ROWS)])
    assert failure.value.status() == "StatusCode.INTERNAL" and "secret" not in str(failure.value)
    assert isinstance(server.errors.pop(), ZeroDivisionError)
    assert client.infer("product", [tensor("x", ROWS)]).as_numpy("y").shape == (2, 2)


def test_a_busy_server_says_when_to_come_again(infer):
    with pytest.raises(grpc.RpcError, match="queue is full") as refusal:
        infer(published.ModelInferRequest(model_name="busy"))
    assert refusal.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    trailing = dict(refusal.value.trailing_metadata())
    assert trailing["retry-after"] == "2" and trailing["grpc-retry-pushback-ms"] == "1250"


def test_the_callers_deadline_is_the_calls(client, server):
    row = tensor("x", ROWS)
    client.infer("identity", [row])
    assert server.engine.calls[-1].deadline is None
    for given in ({"client_timeout": 20}, {"timeout": 20_000_000}):
        client.infer("identity", [row], **given)
        assert 10 < server.engine.calls[-1].deadline - clock.wall() < 20.5
    client.infer("identity", [row], client_timeout=20, timeout=5_000_000)
    assert server.engine.calls[-1].deadline - clock.wall() < 5.5
    server.engine.cancelled.clear()
    with pytest.raises(InferenceServerException) as refusal:
        client.infer("slow", [row], client_timeout=0.2)
    assert refusal.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    assert server.engine.cancelled.wait(10)


def test_a_client_that_goes_away_cancels_its_call(client, server):
    server.engine.cancelled.clear()
    before = len(server.engine.calls)
    pending = client.async_infer("slow", [tensor("x", ROWS)], callback=lambda result, error: None)
    until(lambda: len(server.engine.calls) > before)
    assert not server.engine.cancelled.is_set()
    pending.cancel()
    assert server.engine.cancelled.wait(10)


def test_messages_up_to_the_limit():
    with (
        running(limits=GrpcLimits(message_bytes=2_000_000)) as server,
        triton.InferenceServerClient(server.address) as client,
    ):
        large = np.zeros((1, 480_000), np.float32)
        for compression in (None, "gzip"):
            found = client.infer("identity", [tensor("x", large)], compression_algorithm=compression)
            assert found.as_numpy("x").shape == large.shape
            with pytest.raises(InferenceServerException) as refusal:
                client.infer(
                    "identity",
                    [tensor("x", np.zeros((1, 5_000_000), np.float32))],
                    compression_algorithm=compression,
                )
            assert refusal.value.status() == "StatusCode.RESOURCE_EXHAUSTED"
        assert client.is_server_live()
        assert len(server.engine.calls) == 2


def test_what_is_no_grpc_harms_no_other(client, server):
    chance = np.random.default_rng(5)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", chance.bytes(3000), preface + chance.bytes(3000), preface[:9]):
        with socket.create_connection(("127.0.0.1", server.port), 5) as raw:
            raw.sendall(garbage)
            assert client.infer("product", [tensor("x", ROWS)]).as_numpy("y").shape == (2, 2)
    assert not server.errors


def test_calls_are_encrypted_with_credentials(tmp_path):
    key, certificate = made_certificate()
    credentials = tls_credentials(certificate, key)
    with running(credentials=credentials) as server:
        trusted = tmp_path / "certificate.pem"
        trusted.write_bytes(certificate)
        with triton.InferenceServerClient(
            server.address.replace("127.0.0.1", "localhost"), ssl=True, root_certificates=str(trusted)
        ) as client:
            assert client.infer("identity", [tensor("x", ROWS)]).as_numpy("x").shape == (2, 4)
        with triton.InferenceServerClient(server.address) as client:
            with pytest.raises(InferenceServerException) as refusal:
                client.is_server_live()
            assert refusal.value.status() == "StatusCode.UNAVAILABLE"


def test_encrypted_clients_that_are_idle_hold_nothing_up(tmp_path):
    key, certificate = made_certificate()
    trusted = tmp_path / "certificate.pem"
    trusted.write_bytes(certificate)
    with running(credentials=tls_credentials(certificate, key)) as server:
        address = server.address.replace("127.0.0.1", "localhost")
        with triton.InferenceServerClient(address, ssl=True, root_certificates=str(trusted)) as client:
            client.infer("identity", [tensor("x", ROWS)])
            began = time.perf_counter()
            server.drain(20).result(20)
            assert time.perf_counter() - began < 1.9
    with pytest.raises(Misuse, match="certificate"):
        tls_credentials(b"none", key)


def made_certificate():
    """The private key, and a certificate of localhost that it has signed itself, both as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    moment = datetime.fromtimestamp(clock.wall(), UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(moment - timedelta(hours=1))
        .not_valid_after(moment + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(pem, *plain), certificate.public_bytes(pem)


def test_calls_beyond_the_limit_are_turned_away():
    with running(limits=GrpcLimits(calls=2)) as server, grpc.insecure_channel(server.address) as channel:
        infer = channel.unary_unary(SERVICE + "ModelInfer", published.ModelInferRequest.SerializeToString)
        waiting = [infer.future(published.ModelInferRequest(model_name="slow")) for _ in range(2)]
        until(lambda: len(server.engine.calls) == 2)
        with pytest.raises(grpc.RpcError) as refusal:
            infer(published.ModelInferRequest(model_name="identity"))
        assert refusal.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        for each in waiting:
            each.cancel()


def test_the_token_is_asked_for_by_everything_but_health():
    health = open_messages()["grpc.health.v1.HealthCheckRequest"]
    with running(token="open-sesame") as server:
        with triton.InferenceServerClient(server.address) as client:
            right = {"authorization": "Bearer open-sesame"}
            for headers in (None, {"authorization": "Bearer open-sesam"}, {"authorization": "open-sesame"}):
                for call in (
                    lambda headers=headers: client.infer("identity", [tensor("x", ROWS)], headers=headers),
                    lambda headers=headers: client.is_server_live(headers=headers),
                    lambda headers=headers: client.load_model("new", headers=headers),
                ):
                    with pytest.raises(InferenceServerException, match="give the token") as refusal:
                        call()
                    assert refusal.value.status() == "StatusCode.UNAUTHENTICATED"
            assert not server.engine.calls and "new" not in server.engine.loaded
            assert client.infer("identity", [tensor("x", ROWS)], headers=right).as_numpy("x").shape == (2, 4)
            streamed = Streamed()
            client.start_stream(streamed)
            assert streamed.next().status() == "StatusCode.UNAUTHENTICATED"
            client.stop_stream(cancel_requests=True)
            client.start_stream(streamed, headers=right)
            client.async_stream_infer("identity", [tensor("x", ROWS)])
            assert streamed.next().as_numpy("x").shape == (2, 4)
            client.stop_stream()
        with grpc.insecure_channel(server.address) as channel:
            assert channel.unary_unary("/grpc.health.v1.Health/Check")(health().SerializeToString())
            reflect = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
            with pytest.raises(grpc.RpcError, match="give the token"):
                list(reflect(iter([b""])))


def test_addresses_that_cannot_be_served_are_refused(server):
    with pytest.raises(Misuse, match="token"):
        Running(host="0.0.0.0")
    with pytest.raises(Misuse, match="cannot listen"):
        Running(port=server.port)
    for name in GrpcLimits.__struct_fields__:
        with pytest.raises(Misuse, match=name):
            GrpcLimits(**{name: 0})


def test_draining_answers_what_is_in_progress_and_ends_what_never_would():
    with running() as server:
        messages = open_messages()
        with (
            grpc.insecure_channel(server.address) as watcher,
            grpc.insecure_channel(server.address) as channel,
        ):
            watch = watcher.unary_stream(
                "/grpc.health.v1.Health/Watch",
                None,
                messages["grpc.health.v1.HealthCheckResponse"].FromString,
            )(b"")
            assert next(watch).status == 1
            slow = published.ModelInferRequest(model_name="slow")
            slow.parameters["seconds"].double_param = 0.5
            pending = channel.unary_unary(
                SERVICE + "ModelInfer",
                published.ModelInferRequest.SerializeToString,
                published.ModelInferResponse.FromString,
            ).future(slow)
            client = triton.InferenceServerClient(server.address)
            streamed = Streamed()
            client.start_stream(streamed)
            client.async_stream_infer("slow", [tensor("x", ROWS)], parameters={"seconds": 0.6})
            until(lambda: len(server.engine.calls) == 2)
            began = time.perf_counter()
            drained = server.drain(20)
            assert [each.status for each in watch] == [2]
            assert pending.result().model_name == "slow"
            assert streamed.next().as_numpy("x").shape == (2, 4)
            assert streamed.next().status() == "StatusCode.UNAVAILABLE"
            drained.result(20)
            assert 0.3 < time.perf_counter() - began < 5
            client.close()


def test_draining_gives_up_after_its_grace():
    with (
        running() as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        infer = channel.unary_unary(SERVICE + "ModelInfer", published.ModelInferRequest.SerializeToString)
        pending = infer.future(published.ModelInferRequest(model_name="slow"))
        until(lambda: server.engine.calls)
        began = time.perf_counter()
        server.drain(0.2).result(20)
        assert time.perf_counter() - began < 5
        with pytest.raises(grpc.RpcError):
            pending.result()


def test_one_server_follows_another_under_load_without_a_failed_call():
    first = Running(share_port=True)
    second = None
    stop = threading.Event()
    counts, failures = [], []

    def load():
        count = 0
        with triton.InferenceServerClient(first.address) as client:
            row = tensor("x", ROWS)
            while not stop.is_set():
                try:
                    client.infer("product", [row])
                    count += 1
                except InferenceServerException as error:
                    failures.append(error)
        counts.append(count)

    try:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(4):
                pool.submit(load)
            try:
                threading.Event().wait(0.3)
                second = Running(port=first.port, share_port=True)
                first.drain(2).result(20)  # the second's connections look like its own here
                served = len(second.engine.calls)
                threading.Event().wait(0.3)
            finally:
                stop.set()
        assert not failures, [(each.status(), each.message(), each.debug_details()) for each in failures]
        assert len(first.engine.calls) > 20 and len(second.engine.calls) > served
        assert sum(counts) == len(first.engine.calls) + len(second.engine.calls)
    finally:
        first.stop()
        if second is not None:
            second.stop()
