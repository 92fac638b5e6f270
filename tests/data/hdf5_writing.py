"""HDF5 files as libver='earliest' writes them, by a writer of our own: groups, attributes, small datasets."""

import struct


class Writer:
    """One file; objects are laid out as they are added, the root group last."""

    def __init__(self):
        self.content = bytearray(96)

    def put(self, content):
        """The address at which bytes were put."""
        self.content += b"\0" * (-len(self.content) % 8)
        at = len(self.content)
        self.content += content
        return at

    def header(self, messages):
        """An object's header of version 1."""
        body = b"".join(
            struct.pack("<HHBxxx", kind, -(-len(each) // 8) * 8, 0) + each + b"\0" * (-len(each) % 8)
            for kind, each in messages
        )
        return self.put(struct.pack("<BxHII4x", 1, len(messages), 1, len(body)) + body)

    def group(self, members, messages=()):
        """A group with members as pairs of name and address."""
        names, places = b"\0" * 8, []
        for name, _ in members:
            places.append(len(names))
            names += name.encode() + b"\0" * (8 - len(name.encode()) % 8)
        data = self.put(names)
        heap = self.put(b"HEAP" + struct.pack("<B3xQQQ", 0, len(names), (1 << 64) - 1, data))
        rows = b"".join(
            struct.pack("<QQI4x16x", place, address, 0)
            for place, (_, address) in zip(places, members, strict=True)
        )
        node = self.put(b"SNOD" + struct.pack("<BxH", 1, len(members)) + rows)
        none = (1 << 64) - 1
        tree = self.put(
            b"TREE" + struct.pack("<BBHQQ", 0, 0, 1, none, none) + struct.pack("<QQQ", 0, node, 8)
        )
        return self.header([(0x11, struct.pack("<QQ", tree, heap)), *messages])

    def dataset(self, values, shape=None, messages=()):
        """A contiguous dataset of float64."""
        data = struct.pack(f"<{len(values)}d", *values)
        at = self.put(data)
        shape = (len(values),) if shape is None else shape
        layout = struct.pack("<BBQQ", 3, 1, at, len(data))
        return self.header([(1, space(shape)), (3, FLOAT), (8, layout), *messages])

    def file(self, root):
        """The file, whose superblock is of version 0."""
        block = b"\x89HDF\r\n\x1a\n" + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + struct.pack("<HHI", 4, 16, 0)
        none = (1 << 64) - 1
        block += struct.pack("<QQQQ", 0, none, len(self.content), none)
        block += struct.pack("<QQI4x16x", 0, root, 0)
        return bytes(block + self.content[96:])


FLOAT = (
    bytes([0x11, 0x20, 0x3F, 0]) + struct.pack("<I", 8) + struct.pack("<HHBBBBI", 0, 64, 52, 11, 0, 52, 1023)
)


def space(shape):
    """A dataspace of version 1."""
    return struct.pack("<BBBx4x", 1, len(shape), 0) + b"".join(struct.pack("<Q", each) for each in shape)


def attribute(name, value):
    """A text of fixed length as an attribute of version 1."""
    value = value.encode() if isinstance(value, str) else value
    kind = bytes([0x13, 0, 0, 0]) + struct.pack("<I", len(value))
    parts = [name.encode() + b"\0", kind, space(())]
    body = struct.pack("<BxHHH", 1, *(len(each) for each in parts))
    body += b"".join(each + b"\0" * (-len(each) % 8) for each in parts)
    return 0x0C, body + value


def keras_file(config, extra=()):
    """A model of Keras in HDF5 with one layer's weights."""
    writer = Writer()
    layer = writer.group(
        [("kernel:0", writer.dataset([1.0, 2.0])), *((name, make(writer)) for name, make in extra)]
    )
    weights = writer.group([("dense", layer)], [attribute("backend", "torch")])
    root = writer.group(
        [("model_weights", weights)],
        [attribute("keras_version", "3.15.1"), attribute("model_config", config)],
    )
    return writer.file(root)
