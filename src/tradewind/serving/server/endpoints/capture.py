"""Data capture: what a share of the requests asked and was answered, in the lines of SageMaker's schema.

Amazon SageMaker, "Capture data from real-time endpoint": `captureData` with `endpointInput` and
`endpointOutput`, `eventMetadata`, `eventVersion`. What is kept are the tensors, as the JSON of the Open
Inference Protocol, whatever wire they came by: so requests in binary and over gRPC are read by the same
tools.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import msgspec

from tradewind.serving import tensor_json
from tradewind.serving.calls import Answer, Call
from tradewind.serving.rollout.requests import DataCapture
from tradewind.serving.rollout.traffic import place_in_turn
from tradewind.serving.server.endpoints.line_log import LineLog
from tradewind.serving.tensors import Tensors, datatype_of

_TYPE = "application/json"
_LARGEST = 1 << 20
"""Bytes of a request's tensors, beyond which it is not captured, but counted as lost: to write more than that
as JSON would hold up every caller."""


class Capture:
    """Captures for one endpoint, into `log`."""

    def __init__(self, endpoint: str, settings: DataCapture, log: LineLog) -> None:
        self.endpoint, self.settings, self.log = endpoint, settings, log
        modes = {option.capture_mode for option in settings.capture_options}
        self._input = bool(modes & {"Input", "InputAndOutput"})
        self._output = bool(modes & {"Output", "InputAndOutput"})
        self._share = settings.initial_sampling_percentage / 100 if settings.enable_capture else 0.0
        self._turn = 0

    def take(self, call: Call, answer: Answer, moment: float) -> None:
        """Capture a request and its answer, if they are of the share that is captured."""
        self._turn += 1
        if place_in_turn(self._turn) >= self._share:
            return
        inputs = call.inputs if self._input else None
        outputs = answer.outputs if self._output else None
        size = sum(array.nbytes for tensors in (inputs, outputs) if tensors for array in tensors.values())
        id, variant = call.id, answer.variant
        if size > _LARGEST:
            self.log.pass_over(f"{self.endpoint}/{variant}")
            return
        self.log.add(
            f"{self.endpoint}/{variant}", lambda: line_of(inputs, outputs, id, moment, variant), size
        )


def line_of(inputs: Tensors | None, outputs: Tensors | None, id: str, moment: float, variant: str) -> bytes:
    """The line for one request; what is None is not in it."""
    data = {}
    if inputs is not None:
        data["endpointInput"] = _part("INPUT", "inputs", inputs)
    if outputs is not None:
        data["endpointOutput"] = _part("OUTPUT", "outputs", outputs)
    metadata = {
        "eventId": str(uuid4()),
        "inferenceTime": datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "variantName": variant,
    }
    if id:
        metadata["inferenceId"] = id
    return msgspec.json.encode({"captureData": data, "eventMetadata": metadata, "eventVersion": "0"})


def _part(mode: str, name: str, tensors: Tensors) -> dict[str, str]:
    said = [
        {
            "name": each, "datatype": datatype_of(array), "shape": list(array.shape),
            "data": tensor_json.values_of(array),
        }
        for each, array in tensors.items()
    ]  # fmt: skip
    text = tensor_json.encode({name: said}).decode()
    return {"observedContentType": _TYPE, "mode": mode, "data": text, "encoding": "JSON"}
