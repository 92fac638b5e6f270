"""The formats of this folder, in the order in which the scanner asks them."""

from __future__ import annotations

from tradewind.data.model_files.formats import (
    gguf,
    hdf5,
    json_text,
    keras_archive,
    onnx,
    safetensors,
    savedmodel,
    skops,
    templates,
    tensor_bundle,
    text,
    torch_export,
    torchscript,
)
from tradewind.data.model_files.inspection import Reading

READINGS: tuple[Reading, ...] = (
    safetensors.READING,
    gguf.READING,
    hdf5.READING,
    tensor_bundle.READING,
    keras_archive.READING,
    skops.READING,
    torch_export.READING,
    torchscript.READING,
)
"""Formats that their bytes begin or end with, and those that refine a container."""
MESSAGES: tuple[Reading, ...] = (
    onnx.READING,
    savedmodel.READING,
    savedmodel.METADATA,
    savedmodel.GRAPH,
)
"""Protocol buffers, which have no mark: asked only where nothing with a mark fits; the first that fits it
is."""
LAST_RESORTS: tuple[Reading, ...] = (json_text.READING, templates.READING, text.READING)
"""Texts: asked only where nothing else fits at all, a pickle neither; the first that fits it is."""
