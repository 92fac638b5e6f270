"""Tensors in the JSON of a function's events and answers: lists of [name, datatype, shape, base64].

The bytes are those of `serving.tensor_bytes`. Base64 makes them a third longer: of Lambda's 6 MiB for an
event, 4.5 MiB are left for tensors.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from tradewind.errors import Misuse
from tradewind.serving.tensor_bytes import decode, encode
from tradewind.serving.tensors import Tensors, datatype_of


def listed(tensors: Tensors) -> list[list[Any]]:
    """Tensors as JSON values."""
    return [
        [name, datatype_of(array), list(array.shape), base64.b64encode(encode(array)).decode("ascii")]
        for name, array in tensors.items()
    ]


def tensors_of(values: Any) -> Tensors:
    """The tensors that JSON values list; Misuse for what is no such list."""
    tensors: Tensors = {}
    try:
        for name, datatype, shape, text in values:
            tensors[str(name)] = decode(base64.b64decode(text, validate=True), datatype, shape)
    except (TypeError, ValueError, binascii.Error) as problem:
        raise Misuse(
            f"these are no tensors: {problem}", field="inputs", fix="List [name, datatype, shape, base64]."
        ) from None
    return tensors
