"""Lists made from a library: classes that cannot act while they are unpickled, and no others."""

import importlib
import pickle
import sys
import textwrap

import pytest
from sklearn.tree._tree import Tree

from tradewind.data.model_files.allowed.introspection import letters_of, list_of
from tradewind.data.model_files.allowed.lists import allowed_by, shipped
from tradewind.data.model_files.scanner import scan_bytes

LIBRARY = """
    import collections
    import enum
    import io
    import os


    class Plain:
        def __init__(self, path=None):
            if path:
                open(path, "w").close()


    class Deletes:
        def __del__(self):
            os.remove(self.path)


    class Looks:
        def __getattr__(self, name):
            return __import__(self.module)


    class Opens:
        def __setstate__(self, state):
            self.file = open(state["path"], "w")


    class Makes:
        def __new__(cls, path=None):
            os.mkdir(path)
            return object.__new__(cls)


    class Files(io.BytesIO):
        pass


    class Items(dict):
        pass


    class Overrides(dict):
        def __setitem__(self, key, value):
            os.system(value)


    class Colour(enum.Enum):
        RED = 1


    Point = collections.namedtuple("Point", "x y")


    def rebuild(value):
        return Rebuilt


    def run_it(command):
        return list(command)


    class Rebuilt:
        def __reduce__(self):
            return rebuild, (1,)


    class Runs:
        def __reduce__(self):
            return run_it, ("x",)


    def default(x):
        return x


    class Holds:
        def __init__(self, function=default):
            self.function = function
"""


@pytest.fixture
def library(tmp_path, monkeypatch):
    package = tmp_path / "toylibrary"
    package.mkdir()
    (package / "__init__.py").write_text(textwrap.dedent(LIBRARY))
    (package / "broken.py").write_text("raise RuntimeError('cannot be imported')")
    tests = package / "tests"
    tests.mkdir()
    (tests / "__init__.py").write_text("class Hidden: pass")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "toylibrary"
    for name in [each for each in sys.modules if each.split(".")[0] == "toylibrary"]:
        del sys.modules[name]


def test_what_may_be_done_with_each(library):
    made = list_of(library)
    names = made.names["toylibrary"]
    assert names == {
        "Plain": "nb", "Items": "nbi", "Overrides": "nb", "Colour": "c", "Point": "cnb", "Rebuilt": "nb",
        "rebuild": "cb", "Runs": "nb", "Holds": "nb", "default": "",
    }  # fmt: skip
    assert list(made.names) == ["toylibrary"]
    assert (made.library, made.version) == ("toylibrary", "unknown")


def test_a_library_without_a_list_is_blocked_until_it_has_one(library):
    toylibrary = importlib.import_module(library)
    content = pickle.dumps([toylibrary.Plain(), toylibrary.Colour.RED, toylibrary.Point(1, 2)])
    assert scan_bytes(content).verdict == "blocked"
    own = shipped().joined(allowed_by([list_of(library)]))
    assert scan_bytes(content, allowed=own).findings == ()
    calling = b"\x80\x02ctoylibrary\nPlain\nX\x01\x00\x00\x00x\x85R."
    assert scan_bytes(calling, allowed=own).verdict == "blocked"


def test_extension_types_have_to_say_that_they_are_pickled():
    assert letters_of(Tree) == "cnb"
    assert letters_of(memoryview) is None


def test_a_missing_library():
    with pytest.raises(ImportError):
        list_of("no_such_library_at_all")
