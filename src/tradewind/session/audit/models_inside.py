"""Model files that an image carries: found by their bytes among what no package brought, and judged."""

from __future__ import annotations

from tradewind.audit.packages import Inventory
from tradewind.audit.trees import Files
from tradewind.data.model_files.findings import Scan
from tradewind.data.model_files.scanner import scan_bytes

LARGEST = 1 << 30
"""Bytes of a file that is read; a larger one is to be scanned where it lies."""
ENDINGS = (
    ".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".bin", ".npy", ".npz", ".h5", ".hdf5", ".keras",
    ".onnx", ".gguf", ".safetensors", ".skops", ".pb", ".model", ".dill",
)  # fmt: skip
"""Names under which models travel. What a package brought is the package's own and not looked at."""


def models_in(files: Files, inventory: Inventory) -> tuple[Scan, ...]:
    """The verdicts on the unowned files of a tree that are called like models."""
    found = []
    for path in inventory.unowned:
        entry = files.tree.entries[path]
        if entry.kind == "file" and entry.size and path.lower().endswith(ENDINGS):
            found.append(scan_bytes(files.read(path, LARGEST), path))
    return tuple(found)
