import threading
import time

import numpy as np
import pytest
import tritonclient.grpc as triton
from grpc_stage import ROWS, WEIGHTS, Streamed, running, tensor, until
from tritonclient.utils import InferenceServerException


@pytest.fixture(scope="module")
def server():
    with running() as it:
        yield it


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(server.address) as it:
        yield it


def test_a_stream_answers_each_request_in_order_and_goes_on_after_errors(client):
    streamed = Streamed()
    client.start_stream(streamed)
    rows = [np.full((1, 4), index, np.float32) for index in range(200)]
    for index, row in enumerate(rows):
        model = "nobody" if index == 50 else "product"
        client.async_stream_infer(model, [tensor("x", row)], request_id=str(index))
    for index, row in enumerate(rows):
        found = streamed.next()
        if index == 50:
            assert isinstance(found, InferenceServerException) and "no model 'nobody'" in str(found)
            continue
        assert found.get_response().id == str(index)
        assert found.get_response().parameters["triton_final_response"].bool_param
        np.testing.assert_array_equal(found.as_numpy("y"), row @ WEIGHTS)
    client.stop_stream()


def test_requests_of_a_stream_are_worked_on_together(client, server):
    streamed = Streamed()
    client.start_stream(streamed)
    began = time.perf_counter()
    for seconds in (0.4, 0.3, 0.2, 0.1):
        client.async_stream_infer("slow", [tensor("x", ROWS)], parameters={"seconds": seconds})
    for _ in range(4):
        assert not isinstance(streamed.next(), Exception)
    assert time.perf_counter() - began < 0.9
    client.stop_stream()


def test_a_stream_that_is_cancelled_cancels_its_requests(client, server):
    server.engine.cancelled.clear()
    before = len(server.engine.calls)
    client.start_stream(Streamed())
    for _ in range(70):
        client.async_stream_infer("slow", [tensor("x", ROWS)])
    until(lambda: len(server.engine.calls) >= before + 64)
    threading.Event().wait(0.05)
    assert len(server.engine.calls) == before + 64  # the rest of the stream is not read before one is over
    client.stop_stream(cancel_requests=True)
    assert server.engine.cancelled.wait(10)
    assert client.is_server_live()
