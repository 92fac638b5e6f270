"""Allow-lists as files, joined, and cleaned of what none may allow."""

from pathlib import Path

import pytest

from tradewind.data.model_files.allowed import lists
from tradewind.data.model_files.allowed.denied import denied
from tradewind.data.model_files.allowed.lists import (
    NameList,
    allowed_by,
    allowed_from,
    read_list,
    shipped,
    write_list,
)
from tradewind.errors import Misuse

FOLDER = Path(lists.__file__).parent


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_what_ships_is_exact_sorted_and_holds_nothing_denied(path, tmp_path):
    found = read_list(path)
    assert found.names
    for module, names in found.names.items():
        for name in names:
            assert name.isidentifier() and not denied(module, name), f"{module}.{name}"
    write_list(tmp_path / "again.json", found)
    assert read_list(tmp_path / "again.json") == found


def test_known_gadgets_are_nowhere():
    allowed = shipped()
    every = allowed.globals | allowed.calls | allowed.builds | allowed.news | allowed.items
    for name in (
        "os.system", "posix.system", "subprocess.Popen", "builtins.eval", "builtins.exec", "builtins.getattr",
        "builtins.__import__", "builtins.open", "builtins.map", "pickle.loads", "marshal.loads",
        "joblib.load",
        "torch.load", "torch.hub.load", "numpy.load", "numpy.save", "numpy.memmap", "pandas.eval",
        "numpy.testing._private.utils.runstring", "pandas.read_pickle", "types.FunctionType",
        "pandas._libs.parsers.TextReader", "torch._utils._import_dotted_name", "operator.methodcaller",
        "joblib.numpy_pickle.NumpyUnpickler", "joblib.numpy_pickle_compat.NDArrayWrapper",
        "importlib.import_module",
        "numpy.core._ufunc_reconstruct", "logging.FileHandler", "torch.fx.graph_module.reduce_graph_module",
    ):  # fmt: skip
        assert name not in every
    assert not [name for name in allowed.calls if name.split(".")[0] in ("os", "sys", "subprocess", "io")]
    for part in (allowed.calls, allowed.builds, allowed.news, allowed.items):
        assert part <= allowed.globals


def test_lists_are_joined_and_cleaned(tmp_path):
    made = NameList(
        "mine", "1", {"mine": {"A": "nb", "F": "c"}, "os": {"system": "c"}, "mine.tests": {"T": "c"}}
    )
    allowed = allowed_by([made])
    assert allowed.globals == {"mine.A", "mine.F"}
    assert (allowed.calls, allowed.news, allowed.builds) == ({"mine.F"}, {"mine.A"}, {"mine.A"})
    write_list(tmp_path / "mine-1.json", made)
    for where in (tmp_path, tmp_path / "mine-1.json"):
        joined = allowed_from(where)
        assert joined.globals > shipped().globals and "mine.A" in joined.news


@pytest.mark.parametrize(
    "content", ["", "[]", '{"library": "x"}', '{"library":"x","version":"1","names":{"m":{"A":"z"}}}']
)
def test_what_is_no_list(content, tmp_path):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(Misuse):
        read_list(tmp_path / "x.json")
    with pytest.raises(Misuse):
        read_list(tmp_path / "missing.json")
