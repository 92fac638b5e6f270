"""Attacks in what holds a pickle: torch's formats, numpy's two, joblib, and archives within archives."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tarfile
import zlib

from model_corpus.cases import Attack
from model_corpus.unseen_building import (
    HARMLESS,
    MKDIR,
    Apply,
    Member,
    Name,
    append,
    build,
    call,
    emit,
    new,
    plain,
    program,
    tarred,
    zipped,
)

_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
_SYSTEM = {"protocol_version": 1001, "little_endian": True}
_WEIGHTS = struct.pack("<4f", 0.5, -0.25, 2.0, 1.0)


def _torch(pickle: Member, *others: Member, **layout: bytes) -> bytes:
    ends = (Member("archive/version", b"3\n"), Member("archive/data/0", _WEIGHTS))
    return zipped([pickle, *others, *ends], **layout)


def _deflated(marker: str) -> bytes:
    return _torch(Member("archive/data.pkl", plain(marker, 2), method=8))


def _capitals(marker: str) -> bytes:
    return _torch(Member("archive/DATA.PKL", plain(marker, 2)))


def _twice(marker: str) -> bytes:
    return _torch(Member("archive/data.pkl", plain(marker, 2)), Member("archive/data.pkl", HARMLESS))


def _other_local_name(marker: str) -> bytes:
    return _torch(Member("archive/data.pkl", plain(marker, 2), local_name="archive/data/17"))


def _flagged(marker: str) -> bytes:
    return _torch(Member("archive/data.pkl", plain(marker, 2), local_flags=0x1 | 0x40))


def _wrong_sizes(marker: str) -> bytes:
    return _torch(Member("archive/data.pkl", plain(marker, 2), local_size=0))


def _two_directories(marker: str) -> bytes:
    # one reader takes the directory where the end says it is, another the one that stands before the end
    attack = program({"epochs": [1.0] * 20}, call(Name("os", "mkdir"), marker), protocol=2)
    first = zipped([Member("archive/data.pkl", attack), Member("archive/version", b"3\n")])
    second = zipped([Member("archive/data.pkl", HARMLESS), Member("archive/version", b"3\n")], before=first)
    place = struct.unpack("<I", first[-6:-2])[0]
    size, late = struct.unpack("<II", second[-10:-2])
    shift = late - place
    directory = bytearray(second[late : late + size])
    at = 0
    while at < size:
        names = struct.unpack_from("<H", directory, at + 28)[0]
        struct.pack_into("<I", directory, at + 42, struct.unpack_from("<I", directory, at + 42)[0] - shift)
        at += 46 + names
    return second[:late] + bytes(directory) + second[late + size : -6] + struct.pack("<IH", place, 0)


def _legacy_then_zip(marker: str) -> bytes:
    harmless = zipped([Member("archive/data.pkl", HARMLESS), Member("archive/version", b"3\n")])
    return plain(marker, 2) + harmless


def _legacy_keys(marker: str) -> bytes:
    head = [program(each, protocol=2) for each in (_MAGIC, _VERSION, _SYSTEM, {"bias": 1})]
    return b"".join(head) + program(call(Name("os", "mkdir"), marker), [], protocol=2)


def _legacy_system(marker: str) -> bytes:
    head = [program(each, protocol=2) for each in (_MAGIC, _VERSION)]
    made = program(call(Name("os", "mkdir"), marker), _SYSTEM, protocol=2)
    return b"".join(head) + made + program({"bias": 1}, protocol=2) + program([], protocol=2)


def _tar_storages(marker: str) -> bytes:
    count = program(call(Name("os", "mkdir"), marker), 0, protocol=2)
    storages = count + program([], protocol=2)
    return tarred([("storages", storages), ("tensors", program(0, protocol=2)), ("pickle", HARMLESS)])


def _tar_pickle(marker: str) -> bytes:
    storages = program(0, protocol=2) + program([], protocol=2)
    return tarred(
        [("sys_info", HARMLESS), ("pickle", plain(marker, 2)), ("tensors", program(0, protocol=2)),
         ("storages", storages)],
    )  # fmt: skip


def _registered(marker: str) -> bytes:
    # a way to restore storages is added to torch's own list, and a storage asks for it: no call in the pickle
    added = append(Name("torch.serialization", "_package_registry"), (99, None, Name("torch", "save")))
    storage = Apply((("storage", Name("torch", "FloatStorage"), "0", marker, 4),), b"Q")
    return _torch(Member("archive/data.pkl", program(added, storage, protocol=2)))


def _own_module(marker: str) -> bytes:
    # a module in the archive is imported; the file has to be named model.pt
    body = program(
        append(Name("sys", "path"), "model.pt/archive"), Name("layer_norm_ext", "scale"), protocol=2
    )
    source = f"import os\nos.mkdir({marker!r})\nscale = 1.0\n".encode()
    return _torch(Member("archive/data.pkl", body), Member("archive/layer_norm_ext.py", source))


def _script(marker: str) -> bytes:
    code = (
        "class M(Module):\n  __parameters__ = []\n  __buffers__ = []\n  training : bool\n"
        "  def forward(self: __torch__.M,\n    x: Tensor) -> Tensor:\n    return x\n"
        "  def __getstate__(self: __torch__.M) -> int:\n    return 7\n"
        "  def __setstate__(self: __torch__.M,\n    state: int) -> NoneType:\n"
        f'    _0 = torch.from_file("{marker}", True, 4)\n'
        "    self.training = torch.eq(torch.numel(_0), 4)\n    return None\n"
    )
    state = b"\x80\x02c__torch__\nM\nq\x00)\x81K\x07bq\x01."
    return zipped([
        Member("archive/data.pkl", state), Member("archive/code/__torch__.py", code.encode()),
        Member("archive/constants.pkl", b"\x80\x02)."), Member("archive/version", b"3\n"),
    ])  # fmt: skip


def _npy(descr: str, shape: str, content: bytes, version: int = 1, order: str = "False") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"
    encoded = header.encode("utf-8" if version == 3 else "latin1")
    wide = 2 if version == 1 else 4
    encoded += b" " * (-(len(encoded) + 9 + wide) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(encoded).to_bytes(wide, "little") + encoded + content


_NUMBERS = _npy("'<f4'", "(4,)", _WEIGHTS)


def _npy_field(marker: str) -> bytes:
    return _npy("[('\u00e9\u4e2d', '<f4'), ('z', '|O', (2,))]", "(1,)", plain(marker), 3)


def _npz_last(marker: str) -> bytes:
    last = Member("w2.npy", _npy("'|O'", "(2, 1)", plain(marker, 3), 2, "True"), method=14)
    return zipped([Member("w0.npy", _NUMBERS, method=8), Member("w1.npy", _NUMBERS, method=12), last])


def _npz_text(marker: str) -> bytes:
    inner = Member("README.txt", _npy("'|O'", "()", plain(marker)))
    return zipped([Member("w0.npy", _NUMBERS), inner], comment=b"weights only")


def _array(dtype: Apply, shape: tuple[int, ...], alignment: int | None) -> Apply:
    """joblib's stand-in for an array, whose bytes follow it in the stream."""
    state = {
        "subclass": Name("numpy", "ndarray"), "shape": shape, "order": "C", "dtype": dtype,
        "allow_mmap": False, "numpy_array_alignment_bytes": alignment,
    }  # fmt: skip
    return build(new(Name("joblib.numpy_pickle", "NumpyArrayWrapper")), state)


def _joblib_objects(marker: str) -> bytes:
    wrapper = _array(call(Name("numpy", "dtype"), "O", False, True), (1,), None)
    return b"\x80\x03" + emit(wrapper, 3) + plain(marker, 2) + b"."


def _joblib_after(marker: str) -> bytes:
    # the array's bytes look like the end of the pickle; what follows them does not
    wrapper = _array(call(Name("numpy", "dtype"), "u1", False, True), (16,), 16)
    head = b"\x80\x03" + emit(wrapper, 3)
    padding = 16 - (len(head) + 1) % 16
    raw = b"0N." + b"\xff" * 13
    return head + bytes([padding]) + b"\xff" * padding + raw + b"0" + emit(call(MKDIR, marker), 3) + b"."


def _joblib_bzip(marker: str) -> bytes:
    content = plain(marker, 3)
    return bz2.compress(content[:11], 1) + bz2.compress(content[11:], 9)


def _joblib_xz(marker: str) -> bytes:
    content = plain(marker, 3)
    first = lzma.compress(content[:5], check=lzma.CHECK_NONE)
    return first + lzma.compress(content[5:], check=lzma.CHECK_CRC32)


def _joblib_zlib(marker: str) -> bytes:
    packer = zlib.compressobj(0, zlib.DEFLATED, 15)
    first = packer.compress(HARMLESS[:2] + b"N0") + packer.flush(zlib.Z_FULL_FLUSH)
    return first + packer.compress(plain(marker, 3)[2:]) + packer.flush()


def _gzip_fields(marker: str) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = gzip.compress(plain(marker), mtime=0)
    body = packer.compress(content) + packer.flush()
    fields = struct.pack("<H", 4) + b"PK\x03\x04" + b"weights.npy\0" + b"a comment\0"
    head = b"\x1f\x8b\x08\x1c\0\0\0\0\x02\xff" + fields
    return head + body + struct.pack("<II", zlib.crc32(content), len(content))


def _gzip_parts(marker: str) -> bytes:
    content = plain(marker, 3)
    return b"".join(gzip.compress(content[at : at + 9], mtime=0) for at in range(0, len(content), 9))


def _picture(marker: str) -> bytes:
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0"
    return zipped([Member("model.pkl", plain(marker), method=12)], before=head)


def _deep(marker: str) -> bytes:
    content = lzma.compress(plain(marker, 3), format=lzma.FORMAT_ALONE)
    content = tarred([("." * 3 + "/" + "w" * 120, content)], tarfile.GNU_FORMAT)
    for name in ("a.txt", "b.json", "c.npy"):
        content = zipped([Member(name, content, method=8)])
    return content


def _torch_in_tar(marker: str) -> bytes:
    return gzip.compress(tarred([("checkpoint/weights.safetensors", _deflated(marker))]), mtime=0)


def _tailed(marker: str) -> bytes:
    inner = bz2.compress(zlib.compress(plain(marker, 2), 1))
    return zipped([Member("x/optimizer.bin", inner), Member("x/config.json", b"{}")], after=b"\0" * 40)


def _ghost(marker: str) -> bytes:
    hidden = Member("w0.npy", _NUMBERS, listed=False)
    return zipped([hidden, Member("w0.npy", _npy("[('x', '<f4'), ('y', '|O')]", "(1,)", plain(marker, 2)))])


def attacks() -> list[Attack]:
    """All of this kind."""
    return [
        Attack("torch: deflated pickle", ".pt", _deflated, "torch"),
        Attack("torch: the pickle's name in capitals", ".pt", _capitals, "torch"),
        Attack("torch: two pickles of one name", ".pt", _twice, "torch"),
        Attack("torch: another name in the local header", ".pth", _other_local_name, "torch"),
        Attack("torch: said to be encrypted in the local header", ".pt", _flagged, "torch"),
        Attack("torch: no size in the local header", ".pt", _wrong_sizes, "torch"),
        Attack("torch: two directories, one for each reader", ".pt", _two_directories, "torch"),
        Attack("torch: legacy pickle before a harmless archive", ".pt", _legacy_then_zip, "torch"),
        Attack("torch: legacy, in the keys at the end", ".pt", _legacy_keys, "torch"),
        Attack("torch: legacy, in the system's description", ".bin", _legacy_system, "torch"),
        Attack("torch: tar, in the storages", ".pt", _tar_storages, "torch"),
        Attack("torch: tar, in the pickle", ".tar", _tar_pickle, "torch"),
        Attack("torch: a storage restored by a registered function", ".pt", _registered, "torch"),
        Attack("torch: a module in the archive imported", ".pt", _own_module, "torch"),
        Attack("torch: TorchScript that makes a file when its state is set", ".pt", _script, "torch"),
        Attack("numpy: an empty array of objects", ".npy",
               lambda marker: _npy("'|O'", "(0,)", plain(marker, 2)), "numpy"),
        Attack("numpy: a field of objects under a foreign name", ".npy", _npy_field, "numpy"),
        Attack("numpy: a pickle under an array's name", ".npy", lambda marker: plain(marker, 3), "numpy"),
        Attack("numpy: the last of an archive, three compressions", ".npz", _npz_last, "numpy"),
        Attack("numpy: an array under a text's name", ".npz", _npz_text, "numpy"),
        Attack("numpy: an unlisted twin before the array", ".npz", _ghost, "numpy"),
        Attack("joblib: a pickle where an array's bytes should be", ".joblib", _joblib_objects, "joblib"),
        Attack("joblib: after an array's bytes", ".joblib", _joblib_after, "joblib"),
        Attack("joblib: bzip2 in two streams", ".joblib", _joblib_bzip, "joblib"),
        Attack("joblib: xz in two streams, no check", ".pkl.xz", _joblib_xz, "joblib"),
        Attack("joblib: zlib that stores, in blocks", ".pkl.z", _joblib_zlib, "joblib"),
        Attack("nested: gzip with every header field, twice", ".pkl.gz", _gzip_fields, "gzip gzip pickle"),
        Attack("nested: gzip in nine-byte members", ".joblib", _gzip_parts, "gzip pickle"),
        Attack("nested: an archive behind a picture's head", ".png", _picture, "zip pickle"),
        Attack("nested: five containers deep", ".zip", _deep, "zip zip zip tar xz pickle"),
        Attack("nested: torch in tar in gzip, called safetensors", ".tgz", _torch_in_tar, "gzip tar torch"),
        Attack("nested: zlib in bzip2, zipped with a tail", ".zip", _tailed, "zip bz2 zlib pickle"),
    ]  # fmt: skip


__all__ = ["attacks"]
