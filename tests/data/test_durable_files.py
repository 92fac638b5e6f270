import pytest

from tradewind.data.durable_files import (
    TEMPORARY,
    creating_directory,
    remove_directory,
    remove_unfinished,
    replacing,
    write_durably,
)


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    write_durably(tmp_path / "a", b"old")
    with pytest.raises(RuntimeError), replacing(tmp_path / "a") as partial:
        partial.write_bytes(b"half")
        raise RuntimeError
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_directory_appears_whole(tmp_path):
    with creating_directory(tmp_path / "d") as partial:
        (partial / "x").write_bytes(b"1")
        assert not (tmp_path / "d").exists()
    assert (tmp_path / "d" / "x").read_bytes() == b"1"
    with pytest.raises(OSError), creating_directory(tmp_path / "d") as partial:
        (partial / "y").write_bytes(b"2")
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["x"]
    remove_directory(tmp_path / "d")
    remove_directory(tmp_path / "d")
    assert list(tmp_path.iterdir()) == []


def test_what_killed_writers_left_is_removed(tmp_path):
    (tmp_path / f"{TEMPORARY}1").write_bytes(b"")
    (tmp_path / f"{TEMPORARY}2").mkdir()
    (tmp_path / "kept").write_bytes(b"")
    assert remove_unfinished(tmp_path) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
