"""The network behind BentoML: a service with one worker and a typed array, access log and tracing off."""

import os
from typing import Annotated

import bentoml
import numpy as np
from bentoml.validators import DType, Shape
from onnxruntime import InferenceSession, SessionOptions


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, monitoring={"enabled": False})
class Network:
    def __init__(self) -> None:
        options = SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = InferenceSession(os.environ["NETWORK"], options)

    @bentoml.api
    async def predict(
        self, x: Annotated[np.ndarray, DType("float32"), Shape((1, 64))]
    ) -> Annotated[np.ndarray, DType("float32")]:
        return self._session.run(None, {"x": x})[0]
