"""The lists that are made of installed libraries, and that those that ship are such."""

import subprocess
import sys
from pathlib import Path

import pytest

from tradewind.data.model_files.allowed import making
from tradewind.data.model_files.allowed.lists import read_list
from tradewind.errors import Misuse

PROGRAM = """
import sys
from pathlib import Path
from tradewind.data.model_files.allowed.making import make_list
for library in sys.argv[2:]:
    make_list(library, Path(sys.argv[1]))
"""


def test_what_ships_is_what_is_made_of_the_installed_library(tmp_path):
    # in a process of its own: what a library shows depends on what else was imported
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path), "numpy"]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = tmp_path.iterdir()
    shipped = read_list(Path(making.__file__).with_name(path.name))
    assert shipped.names == read_list(path).names, f"make the list of {path.stem} again, and read it"


@pytest.mark.parametrize(
    ("library", "told"),
    [
        ("no_such_library_at_all", "Install it"),
        ("scikit-learn", "imported by: sklearn"),
    ],
)
def test_what_cannot_be_imported_is_told_and_nothing_written(library, told, tmp_path):
    with pytest.raises(Misuse) as problem:
        making.make_list(library, tmp_path / "lists")
    assert told in str(problem.value) and not (tmp_path / "lists").exists()


def test_a_library_is_taken_as_far_as_it_can_be_imported(tmp_path, monkeypatch):
    package = tmp_path / "toyprogram"
    package.mkdir()
    (package / "__init__.py").write_text("class Plain: pass")
    (package / "ends.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(str(tmp_path))
    path, count = making.make_list("toyprogram", tmp_path / "lists")
    assert count == 1 and read_list(path).names == {"toyprogram": {"Plain": "nb"}}
    (tmp_path / "toybroken.py").write_text("raise RuntimeError('no')")
    with pytest.raises(Misuse, match="toybroken"):
        making.make_list("toybroken", tmp_path / "lists")
