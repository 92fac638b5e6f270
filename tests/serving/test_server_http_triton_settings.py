"""Settings and shared memory, of which there are none."""

import json

import pytest
import tritonclient.http as triton
from served_wires import ask, routes_of, served
from small_engine import SmallEngine
from tritonclient.utils import InferenceServerException


def test_tritonclient_is_answered_honestly():
    with served(SmallEngine(only=("linear",))) as address, triton.InferenceServerClient(address) as client:
        assert client.get_log_settings() == {} == client.update_log_settings({})
        assert client.get_trace_settings() == {} == client.get_trace_settings("linear")
        assert client.get_system_shared_memory_status() == [] == client.get_cuda_shared_memory_status()
        client.unregister_system_shared_memory()
        client.unregister_system_shared_memory("region")
        client.unregister_cuda_shared_memory()
        client.unregister_cuda_shared_memory("region")
        refused = [
            ("no log settings", lambda: client.update_log_settings({"log_verbose_level": 1})),
            ("no trace settings", lambda: client.update_trace_settings(settings={"trace_rate": "1"})),
            ("no trace settings", lambda: client.update_trace_settings("linear", {"trace_rate": "1"})),
            ("no system shared memory", lambda: client.register_system_shared_memory("a", "/a", 8)),
            ("no CUDA shared memory", lambda: client.register_cuda_shared_memory("a", "aGFuZGxl", 0, 8)),
        ]
        for said, call in refused:
            with pytest.raises(InferenceServerException, match=said) as error:
                call()
            assert error.value.status() == "400"
        for call in (client.get_system_shared_memory_status, client.get_cuda_shared_memory_status):
            with pytest.raises(InferenceServerException, match="no region 'a'") as error:
                call("a")
            assert error.value.status() == "404"


def test_a_body_that_is_no_json_is_a_400():
    response = ask(routes_of(SmallEngine(only=("linear",))), "POST", "/v2/logging", b"{")
    assert response.status == 400 and "no JSON" in json.loads(response.body)["error"]
