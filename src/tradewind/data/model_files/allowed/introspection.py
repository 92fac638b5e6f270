"""What of an installed library a pickle may use: every class and function looked at once, by exact name.

This imports the library, so it is for libraries that are trusted. A Python class may be made and given state
if nothing that runs meanwhile can act: no destructor, no constructor of its own below `__init__`, nothing but
plain code in `__setstate__` and `__getattr__`. An extension type must say that it is meant to be pickled. A
function may be called if it is what a `__reduce__` returns and is plain, or one that Cython wrote for the
purpose.
"""

from __future__ import annotations

import abc
import contextlib
import enum
import functools
import importlib
import importlib.machinery
import importlib.metadata
import inspect
import io
import pkgutil
import platform
import sys
import types
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from tradewind.data.model_files.allowed.denied import acts_by_name, denied
from tradewind.data.model_files.allowed.lists import NameList
from tradewind.data.model_files.allowed.plainness import is_plain, made_by_reducing
from tradewind.data.model_files.allowed.scopes import taken, visited

_SUFFIXES = tuple(importlib.machinery.EXTENSION_SUFFIXES)
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: what a class statement makes
_FILLING = {
    dict: ("__setitem__",),
    list: ("append", "extend"),
    set: ("add", "update"),
}


def list_of(library: str) -> NameList:
    """The list of an installed library, by the name it is imported by. ImportError if it is not installed."""
    root = importlib.import_module(library)
    names: dict[str, dict[str, str]] = {}
    for module in _modules(root):
        for name, value in sorted(vars(module).items()):
            for home, own, uses in _uses(library, module, name, value):
                if taken(library, home, own, uses):
                    _add(names, home, own, uses)
    project = _project(library)
    return NameList(project, _version(project, root), names, platform.python_version())


def _add(names: dict[str, dict[str, str]], module: str, name: str, uses: str) -> None:
    if denied(module, name):
        return
    had = names.setdefault(module, {}).get(name, "")
    names[module][name] = "".join(letter for letter in "cnbi" if letter in had + uses)


def _modules(root: types.ModuleType) -> Iterator[types.ModuleType]:
    """The library's modules, as many as can be imported in silence."""
    library = root.__name__
    yield root
    seen, packages = {library}, [root]
    while packages:
        package = packages.pop(0)
        for found in pkgutil.iter_modules(getattr(package, "__path__", []), f"{package.__name__}."):
            if denied(found.name, "x") or not visited(library, found.name) or found.name in seen:
                continue
            seen.add(found.name)
            module = _imported(found.name)
            if module is None:
                continue
            yield module
            if found.ispkg:
                packages.append(module)
    for name, module in sorted(sys.modules.items()):
        of_it = name.startswith(f"{library}.") and name not in seen and visited(library, name)
        if of_it and isinstance(module, types.ModuleType):
            yield module


def _imported(name: str) -> types.ModuleType | None:
    """A module; None where it cannot be imported, for want of another library or because it is a program."""
    try:
        with _silence():
            return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException:  # a program that is imported may exit, a test may skip itself
        return None


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


def _uses(library: str, module: types.ModuleType, name: str, value: Any) -> Iterator[tuple[str, str, str]]:
    """Module, name and letters of what one name of a module stands for."""
    if isinstance(value, type):
        cls: type = value
        home = cls.__module__ if isinstance(cls.__module__, str) else ""
        if (
            home.partition(".")[0] == library
            and getattr(sys.modules.get(home), value.__qualname__, None) is value
        ):
            with contextlib.suppress(Exception):
                yield from _of_class(cls, home)
    elif name.startswith("__pyx_unpickle_"):
        yield module.__name__, name, "cb"
    elif isinstance(value, types.FunctionType) and value.__module__ == module.__name__:
        if value.__qualname__ == name and not acts_by_name(name) and is_plain(value):
            yield module.__name__, name, ""  # an object may hold it; it is not called by being named
    elif type(value).__name__ == "ufunc" and type(value).__module__ == "numpy":
        yield module.__name__, name, ""


def _of_class(cls: type, home: str) -> Iterator[tuple[str, str, str]]:
    name = cls.__qualname__
    if "." in name or issubclass(cls, type | BaseException):
        return
    uses = letters_of(cls)
    if uses is None:
        return
    yield home, name, uses
    for made in made_by_reducing(cls):
        own = made.__module__
        if isinstance(made, type):
            if made is cls and _calls_plainly(cls):
                yield home, name, uses + "c"
        elif not acts_by_name(made.__name__) and is_plain(made):
            yield own, made.__qualname__, "cb"
    for function in _defaults(cls):
        yield function.__module__, function.__qualname__, ""


def letters_of(cls: type) -> str | None:
    """What a pickle may do with a class; None if nothing."""
    statement = not _is_extension(cls)
    if _python(cls, "__del__", statement) is not None or issubclass(cls, io.IOBase):
        return None  # a file closes whatever it was told that it holds
    for name in ("__getattr__", "__getattribute__", "__setstate__"):
        function = _python(cls, name, statement)
        if function is not None and not is_plain(function):
            return None
    if issubclass(cls, enum.Enum):
        return "c"
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return "cnb"
    if not statement:
        return _extension_letters(cls)
    new = _python(cls, "__new__", compiled=True)
    if new is not None and not is_plain(new) and not _only_forwards(new):
        return None
    return "nb" + ("i" if _fills(cls) else "")


def _is_extension(cls: type) -> bool:
    """Whether the class itself was written in C: in a compiled module, or put into another one by it."""
    if not cls.__flags__ & _HEAP_TYPE:
        return True
    if type(cls) in (type, abc.ABCMeta) and any("__dict__" in vars(each) for each in cls.__mro__):
        return False  # a class statement, though it may have been compiled
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return file is None or file.endswith(_SUFFIXES)


def _extension_letters(cls: type) -> str | None:
    """An extension type has to have its own way of being pickled, and not the one that only raises."""
    home = sys.modules[cls.__module__]
    if hasattr(home, f"__pyx_unpickle_{cls.__name__}"):
        return "nb"
    for name in ("__reduce__", "__reduce_ex__"):
        own = next((vars(each)[name] for each in cls.__mro__[:-1] if name in vars(each)), None)
        if own is not None and "reduce_cython" not in str(getattr(own, "__name__", "")):
            return "cnb"
    own = next(
        (vars(each)["__setstate__"] for each in cls.__mro__[:-1] if "__setstate__" in vars(each)), None
    )
    if own is not None and "setstate_cython" not in str(getattr(own, "__name__", "")):
        return "cnb"
    return None


def _python(cls: type, name: str, compiled: bool = False) -> Any:
    """The method where it was written in Python, the class's own or inherited; also if `compiled`."""
    for each in cls.__mro__[:-1]:
        if name in vars(each):
            value = vars(each)[name]
            value = getattr(value, "__func__", value)
            by_cython = compiled and type(value).__name__ == "cython_function_or_method"
            by_cython = by_cython and bool(each.__flags__ & _HEAP_TYPE)  # an extension type's own is trusted
            return value if by_cython or isinstance(value, types.FunctionType | property) else None
    return None


def _only_forwards(new: Any) -> bool:
    """Whether a `__new__` is what typing's generics or abstract classes have."""
    return getattr(new, "__module__", "") in ("typing", "abc", "enum", "collections")


def _calls_plainly(cls: type) -> bool:
    """Whether calling the class with arguments of the file's choice only stores them."""
    inits = [vars(each)["__init__"] for each in cls.__mro__[:-1] if "__init__" in vars(each)]
    return all(isinstance(each, types.FunctionType) and is_plain(each) for each in inits)


def _fills(cls: type) -> bool:
    for base, methods in _FILLING.items():
        if issubclass(cls, base):
            return all(getattr(cls, method) is getattr(base, method) for method in methods) or all(
                _python(cls, method) is None or is_plain(_python(cls, method)) for method in methods
            )
    return False


def _defaults(cls: type) -> Iterator[types.FunctionType]:
    """The functions that the class's constructor takes by default: its objects are written with them."""
    try:
        parameters = inspect.signature(cls).parameters.values()
    except (TypeError, ValueError):
        return
    for parameter in parameters:
        value = parameter.default
        if (
            isinstance(value, types.FunctionType)
            and value.__qualname__.isidentifier()
            and (
                not acts_by_name(value.__name__)
                and value.__module__.partition(".")[0] == cls.__module__.partition(".")[0]
            )
        ):
            yield value


def _project(library: str) -> str:
    return _projects().get(library, [library])[0]


@functools.cache
def _projects() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _version(project: str, root: types.ModuleType) -> str:
    try:
        return importlib.metadata.version(project).partition("+")[0]  # without the build: 2.13.0+cpu
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(root, "__version__", "unknown"))
