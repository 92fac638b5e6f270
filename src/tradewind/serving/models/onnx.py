"""ONNX models, run by onnxruntime on the processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import MissingExtra, Misuse
from tradewind.serving.models.answers import Shapes, made_up
from tradewind.serving.models.onnx_layout import external_files
from tradewind.serving.tensors import Signature, Tensors, TensorSpec, datatype_of

PLATFORM = "onnxruntime_onnx"
_DATATYPES = {
    "tensor(bool)": "BOOL", "tensor(uint8)": "UINT8", "tensor(uint16)": "UINT16", "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64", "tensor(int8)": "INT8", "tensor(int16)": "INT16", "tensor(int32)": "INT32",
    "tensor(int64)": "INT64", "tensor(float16)": "FP16", "tensor(float)": "FP32", "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}  # fmt: skip
_MAPS = ("seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))")
"""What ZipMap makes of probabilities, as skl2onnx exports classifiers unless told not to."""


class OnnxModel:
    """A session of onnxruntime, with the graph's own names, datatypes and shapes.

    Requests are batched if axis 0 of every input and output has no fixed length. A ZipMap's list of
    dictionaries is given as what it was made of: an FP32 tensor (rows, classes), in the order of the classes.
    """

    platform = PLATFORM

    def __init__(self, path: Path, *, threads: int = 1, shapes: Shapes | None = None) -> None:
        """Open a file, with `threads` for one operator.

        `shapes` are of inputs whose dimensions are open, see `answers.made_up`; they are needed only where an
        output's shape cannot be told without running the model. Raises Misuse for what onnxruntime refuses,
        types that the protocol lacks, and tensors outside of the model's folder.
        """
        self.memory = sum(each.stat().st_size for each in (path, *external_files(path)))
        self._session: Any = _session(path, threads)
        self._source = str(path)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self._names = [each.name for each in outputs]
        self._maps: dict[str, list[Any]] = {each.name: [] for each in outputs if each.type in _MAPS}
        for each in (*inputs, *outputs):
            if each.type not in _DATATYPES and each.name not in self._maps:
                raise Misuse(
                    f"it is a {each.type}, which the protocol cannot carry", source=str(path),
                    field=each.name, fix="Export the model with plain tensors (skl2onnx: zipmap=False).",
                )  # fmt: skip
        told = tuple(TensorSpec(each.name, _DATATYPES[each.type], _shape(each)) for each in inputs)
        self._texts = [each.name for each in told if each.datatype == "BYTES"]
        self.signature = self._completed(told, outputs, shapes)
        plain = not self._maps and not self._texts
        self._plain = plain and all(each.datatype != "BYTES" for each in self.signature.outputs)

    def _completed(
        self, inputs: tuple[TensorSpec, ...], outputs: list[Any], shapes: Shapes | None
    ) -> Signature:
        """The signature; outputs whose shape the graph does not say are looked at in an answer."""
        found = {
            each.name: TensorSpec(each.name, _DATATYPES[each.type], _shape(each))
            for each in outputs
            if each.shape and each.name not in self._maps
        }
        open_rows = all(each.shape[:1] == (-1,) for each in (*inputs, *found.values()))
        batched = open_rows and bool(inputs)
        if len(found) < len(outputs):
            seen = []
            for rows in (1, 3) if batched else (1,):
                asked = made_up(Signature(inputs, (), batched), rows, shapes)
                seen.append(self._first(asked))
            for each in outputs:
                if each.name in found:
                    continue
                shape = tuple(seen[0][each.name].shape)
                for rows, answer in zip((1, 3), seen, strict=False):
                    batched = batched and answer[each.name].shape[:1] == (rows,)
                if batched:
                    same = zip(shape[1:], seen[-1][each.name].shape[1:], strict=False)
                    shape = (-1, *(a if a == b else -1 for a, b in same))
                elif each.name in self._maps:
                    shape = (-1, *shape[1:])
                else:
                    shape = tuple(-1 for _ in shape)
                found[each.name] = TensorSpec(each.name, datatype_of(seen[0][each.name]), shape)
        return Signature(inputs, tuple(found[name] for name in self._names), batched)

    def _first(self, inputs: Tensors) -> Tensors:
        try:
            return dict(zip(self._names, self._answers(self._asked(inputs)), strict=True))
        except Exception as problem:
            raise Misuse(
                f"an output's shape is not in the graph, and a trial with zeros failed: {_line(problem)}",
                source=self._source, field="outputs",
                fix="Give the shapes it takes, or export the model with the shapes of its outputs.",
            ) from None  # fmt: skip

    def predict(self, inputs: Tensors) -> Tensors:
        """The outputs for `inputs`; Misuse for what onnxruntime refuses."""
        if self._session is None:
            raise Misuse("the model is closed", source=self._source)
        try:
            if self._plain:
                return dict(zip(self._names, self._session.run(None, inputs), strict=True))
            return dict(zip(self._names, self._answers(self._asked(inputs)), strict=True))
        except Misuse:
            raise
        except Exception as problem:
            raise Misuse(_line(problem), source=self._source, fix="Send what the model can take.") from None

    def _asked(self, inputs: Tensors) -> dict[str, Any]:
        asked: dict[str, Any] = dict(inputs)
        for name in self._texts:
            array = inputs[name]
            try:
                texts = [each.decode() if isinstance(each, bytes) else str(each) for each in array.ravel()]
            except UnicodeDecodeError:
                raise Misuse(
                    "the bytes are no UTF-8, and ONNX has only texts", source=self._source, field=name,
                    fix="Send texts.",
                ) from None  # fmt: skip
            asked[name] = np.array(texts, object).reshape(array.shape)
        return asked

    def _answers(self, asked: dict[str, Any]) -> list[NDArray[Any]]:
        answers: list[NDArray[Any]] = []
        for name, value in zip(self._names, self._session.run(None, asked), strict=True):
            if name in self._maps:
                value = self._unzipped(name, value)
            value = np.asarray(value)
            if value.dtype.kind in "OU":
                texts = [str(each).encode() for each in value.ravel()]
                value = np.array(texts, object).reshape(value.shape)
            answers.append(value)
        return answers

    def _unzipped(self, name: str, rows: list[dict[Any, float]]) -> NDArray[np.float32]:
        keys = self._maps[name]
        if not keys and rows:
            keys.extend(rows[0])
        return np.array([[row[key] for key in keys] for row in rows], np.float32).reshape(
            len(rows), len(keys)
        )

    def close(self) -> None:
        """Let go of the session."""
        self._session = None


def ready() -> Any:
    """onnxruntime, imported; MissingExtra without it."""
    try:
        import onnxruntime  # noqa: PLC0415
    except ImportError:
        raise MissingExtra("onnxruntime", "serving", "An ONNX model") from None
    return onnxruntime


def _session(path: Path, threads: int) -> Any:
    onnxruntime = ready()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as problem:
        raise Misuse(
            f"onnxruntime does not open it: {_line(problem)}", source=str(path),
            fix="Export the model again, with operators of its own domains only.",
        ) from None  # fmt: skip


def _shape(port: Any) -> tuple[int, ...]:
    return tuple(each if isinstance(each, int) and each >= 0 else -1 for each in port.shape)


def _line(problem: Exception) -> str:
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]
