"""HDF5, as Keras writes models and weights: every object is visited, every attribute read, no library used.

h5py would open foreign files in C, follow links to other files and load filters as native libraries; none of
that may happen before the verdict. This reader knows the format's published layout (superblocks 0 to 3, both
kinds of object headers, symbol tables, compact links and attributes, global heaps) as far as finding
configurations and everything that leads out of the file. Where groups or attributes are stored densely, in
fractal heaps, it says that it could not look.
"""

from __future__ import annotations

import re
from math import prod

from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.formats.hdf5_layout import (
    Attribute,
    Layout,
    Message,
    NotUnderstood,
    datatype_size,
)
from tradewind.data.model_files.formats.json_text import Repeated, parsed
from tradewind.data.model_files.formats.keras_config import RULES as KERAS_RULES
from tradewind.data.model_files.formats.keras_config import judge
from tradewind.data.model_files.inspection import Inspection, Reading, Source

_MAGIC = b"\x89HDF\r\n\x1a\n"
RULES = {
    rule.id: rule
    for rule in (
        Rule(
            "hdf5-outside", "blocked",
            "A link, a dataset or a filter leads to another file; opening the model would read it.",
            "Copy the file with its parts inside (h5repack).",
        ),
        Rule(
            "hdf5-size", "blocked", "A dataset claims a size that no machine holds.", "Fetch the file again.",
        ),
        Rule(
            "hdf5-objects", "blocked", "PyTables keeps pickled objects in this file, and unpickles them.",
            "Save the data without objects.",
        ),
        Rule(
            "hdf5-filter", "undecided", "A dataset is packed by a filter that a native library must bring.",
            "Write the file with gzip, or without compression.",
        ),
        Rule(
            "hdf5-config", "blocked", "A model's configuration cannot be read as one text.",
            "Save the model again.",
        ),
        Rule(
            "hdf5-malformed", "undecided", "The file's structure cannot be walked to its end.",
            "Fetch the file again, or write it with h5py's libver='earliest'.",
        ),
        Rule("hdf5-trailing", "blocked", "There are bytes behind the file's own end.",
        "Fetch the file again."),
    )
}  # fmt: skip
_FILTERS = {1, 2, 3, 4, 5, 6}
"""Deflate, shuffle, Fletcher's checksum, SZIP, n-bit, scale-offset: built in."""
_PICKLED = re.compile(rb"^(?:\x80[\x02-\x05]|[(c\]}lNIVFSi].*\.$)", re.S)
_CONFIGS = {"model_config", "training_config", "model_metadata", "layer_config"}


def recognises(source: Source) -> bool:
    """Whether the bytes begin as HDF5 without a user block."""
    return source.read(0, 8) == _MAGIC


class _Visit:
    def __init__(self, source: Source, inspection: Inspection) -> None:
        self.source, self.inspection = source, inspection
        self.layout = Layout(source, lambda steps: inspection.spend(opcodes=steps))
        self.pytables = False
        self.texts: list[tuple[Attribute, bytes]] = []

    def tell(self, rule: str, text: str, at: int | None = None, name: str = "") -> None:
        self.inspection.found(RULES[rule], text, source=self.source, offset=at, name=name)

    def file(self) -> None:
        try:
            end, root = self.layout.superblock()
        except (NotUnderstood, IndexError) as problem:
            self.tell("hdf5-malformed", str(problem), 0)
            return
        if end > self.source.size:
            self.tell(
                "hdf5-malformed", f"the file ends at {self.source.size}, not at {end}", self.source.size
            )
        elif end < self.source.size:
            self.tell("hdf5-trailing", f"{self.source.size - end} bytes behind its end", end)
        waiting, seen = [("", root)], set()
        while waiting:
            path, address = waiting.pop()
            if address in seen:
                continue
            seen.add(address)
            self.inspection.spend(members=1)
            try:
                messages = self.layout.messages(address)
            except (NotUnderstood, IndexError) as problem:
                self.tell("hdf5-malformed", f"{path or '/'}: {problem}", address, path)
                continue
            for message in messages:
                self.understood(path, message, waiting)
            self.dataset(path, messages)
        self.attributes()

    def understood(self, path: str, message: Message, waiting: list[tuple[str, int]]) -> None:
        """Read a message; what is not understood is told, and the visit goes on."""
        try:
            self.message(path, message, waiting)
        except (NotUnderstood, IndexError) as problem:
            self.tell("hdf5-malformed", f"{path or '/'}: {problem}", message.at, path)

    def message(self, path: str, message: Message, waiting: list[tuple[str, int]]) -> None:
        layout = self.layout
        if message.kind == 0x11:
            for name, address, outside in layout.symbol_table(message):
                if outside is None:
                    waiting.append((f"{path}/{name}", address))
        elif message.kind == 0x06:
            name, place, outside = layout.link(message)
            if outside is not None:
                self.tell("hdf5-outside", f"{path}/{name} is a link to {outside!r}", message.at, name)
            elif place is not None:
                waiting.append((f"{path}/{name}", place))
        elif message.kind in (0x02, 0x15):
            layout.only_compact(message)
        elif message.kind == 0x0C:
            attribute = layout.attribute(message, path)
            for text in attribute.texts:
                self.texts.append((attribute, text))
        elif message.kind == 0x07:
            self.tell("hdf5-outside", f"{path} has its values in other files", message.at, path)
        elif message.kind == 0x0B:
            for number in layout.filters(message):
                if number not in _FILTERS:
                    self.tell("hdf5-filter", f"{path} is packed by the filter {number}", message.at, path)
        elif message.kind == 0x08 and layout.layout_class(message) == 3:
            self.tell("hdf5-outside", f"{path} is a virtual dataset of other files", message.at, path)

    def dataset(self, path: str, messages: list[Message]) -> None:
        space = next((each for each in messages if each.kind == 0x01), None)
        kind = next((each for each in messages if each.kind == 0x03), None)
        if space is None or kind is None:
            return
        try:
            claimed = prod(self.layout.dimensions(space.body)) * datatype_size(kind.body)
        except (NotUnderstood, IndexError) as problem:
            self.tell("hdf5-malformed", f"{path}: {problem}", space.at, path)
            return
        if claimed > max(self.inspection.budget.unpacked, 1000 * self.source.size):
            self.tell("hdf5-size", f"{path} claims {claimed} bytes", space.at, path)

    def attributes(self) -> None:
        names = {attribute.name for attribute, _ in self.texts}
        self.pytables = "PYTABLES_FORMAT_VERSION" in names or ("TITLE" in names and "CLASS" in names)
        for attribute, text in self.texts:
            self.attribute(attribute, text)

    def attribute(self, attribute: Attribute, text: bytes) -> None:
        where = f"{attribute.path or '/'}@{attribute.name}"
        plain = text.rstrip(b"\0")
        if attribute.name == "PSEUDOATOM" and plain == b"object":
            self.tell("hdf5-objects", f"{attribute.path} holds pickled objects", attribute.at, where)
        if plain[:1] == b"\x80" or (self.pytables and _PICKLED.match(plain)):
            self.inspection.inside(plain, where, self.source)
            return
        if attribute.name not in _CONFIGS and b'"class_name"' not in plain:
            return
        try:
            value = parsed(plain, self.inspection.budget.text)
        except Repeated as key:
            self.tell("hdf5-config", f"{where}: the key {str(key)!r} stands twice", attribute.at, where)
        except ValueError as problem:
            self.tell("hdf5-config", f"{where}: {problem}", attribute.at, where)
        else:
            judge(value, self.source, self.inspection)


def inspect(source: Source, inspection: Inspection) -> None:
    """Visit every object, and judge every configuration."""
    _Visit(source, inspection).file()


READING = Reading("hdf5", recognises, inspect, {**RULES, **KERAS_RULES})
