"""Coverage: what each run added, and the imports that no run made."""

import io

from tradewind.audit.packages import Inventory, Package
from tradewind.audit.slimming.kept import Kept, Reason
from tradewind.audit.tracing.events import Run, RunHeader, Touched
from tradewind.audit.trees import Entry, Tree
from tradewind.audit.verification.coverage import coverage, late_imports, module_paths

SITE = "usr/lib/python3.11/site-packages"
SOURCES = {
    f"{SITE}/a/__init__.py": b"import os\nfrom . import seen\ndef f():\n from . import late\n import json\n",
    f"{SITE}/a/seen.py": b"def g():\n    import b.deep\n    from a.late import x\nlambda: __import__('c')\n",
    f"{SITE}/a/late.py": b"x = 1\n",
    f"{SITE}/b/__init__.py": b"",
    f"{SITE}/b/deep.py": b"",
    f"{SITE}/c.py": b"def h():\n    import b\n",
    "usr/lib/python3.11/json/__init__.py": b"",
}


class Made:
    def __init__(self):
        folders = {f.rpartition("/")[0] for f in SOURCES}
        self.tree = Tree(
            [Entry(path, "file", len(text)) for path, text in SOURCES.items()]
            + [Entry(folder, "directory") for folder in folders]
        )

    def open(self, path):
        return io.BytesIO(SOURCES[path])

    def read(self, path, limit=0):
        return SOURCES[path]


def run(name, *opened):
    return Run(RunHeader("tradewind-trace-1", name, "strace", ("x",), "t"), Touched(opened=frozenset(opened)))


def test_imports_in_functions_are_found():
    assert late_imports(SOURCES[f"{SITE}/a/__init__.py"], "a", True) == {"a", "a.late", "json"}
    assert late_imports(b"def f():\n from ..x import y, z as w\n from .. import *\n", "p.q.r", False) == {
        "p.x", "p.x.y", "p.x.z", "p",
    }  # fmt: skip
    assert late_imports(b"class C:\n    async def m(self):\n        import n\nimport o\n", "", False) == {"n"}
    assert late_imports(b"def (:", "", False) == frozenset()


def test_modules_are_found_by_name():
    names = module_paths(Made().tree)
    assert names["a.late"] == f"{SITE}/a/late.py" and names["a"] == f"{SITE}/a/__init__.py"
    assert names["json"] == "usr/lib/python3.11/json/__init__.py"


def test_what_no_run_imported_and_is_removed_is_told():
    files = Made()
    packages = {
        n: Package("pip", n, "1", files=tuple(p for p in SOURCES if f"{SITE}/{n}" in p)) for n in "abc"
    }
    inventory = Inventory(files.tree, {f"pip:{n}": p for n, p in packages.items()})
    first = run("first", f"{SITE}/a/__init__.py", f"{SITE}/a/__pycache__/seen.cpython-311.pyc")
    again = run("again", f"{SITE}/a/__init__.py")
    kept = Kept(
        files.tree, {f"{SITE}/a/__init__.py": Reason("traced"), f"{SITE}/a/seen.py": Reason("source")}
    )
    told = coverage(files, kept, inventory, [first, again])
    assert [(a.run, a.files) for a in told.runs] == [("first", 2), ("again", 0)]
    assert "it has stopped growing" in told.statement
    assert told.lazy == {"pip:a": ("a.late", "b.deep", "json")}
    everything = Kept(files.tree, dict.fromkeys(SOURCES, Reason("traced")))
    assert coverage(files, everything, inventory, [first]).lazy == {}
