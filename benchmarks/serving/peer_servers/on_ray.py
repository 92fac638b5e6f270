"""The network behind Ray Serve: one replica, its access log and the dashboard off."""

import signal
import sys

import numpy as np
import ray
from onnxruntime import InferenceSession, SessionOptions
from ray import serve
from ray.serve.schema import LoggingConfig
from starlette.requests import Request


@serve.deployment(
    num_replicas=1, max_ongoing_requests=64, logging_config=LoggingConfig(enable_access_log=False)
)
class Network:
    def __init__(self, path: str) -> None:
        options = SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = InferenceSession(path, options)

    async def __call__(self, request: Request) -> dict:
        x = np.asarray((await request.json())["x"], np.float32)
        return {"y": self._session.run(None, {"x": x})[0].tolist()}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, logging_level="warning", _temp_dir=sys.argv[3])
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(sys.argv[2])},
        logging_config=LoggingConfig(enable_access_log=False),
    )
    serve.run(Network.bind(sys.argv[1]), route_prefix="/predict")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    ray.shutdown()
