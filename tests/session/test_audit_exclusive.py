"""One process at a time in a folder, and what was killed there is cleared away."""

import os

import pytest

from tradewind.errors import Misuse
from tradewind.session.audit.exclusive import alone_in, made_alone


def test_a_second_one_is_refused_until_the_first_is_done(tmp_path):
    with alone_in(tmp_path / "f"), pytest.raises(Misuse, match="another process"), alone_in(tmp_path / "f"):
        pass
    with alone_in(tmp_path / "f"):
        pass


def test_what_was_left_is_cleared_and_nothing_else(tmp_path):
    locked = tmp_path / ".partial-room/work/work"
    locked.mkdir(parents=True)
    (locked / "x").write_text("")
    os.chmod(locked, 0)
    (tmp_path / ".partial-file").write_text("")
    (tmp_path / "kept").write_text("")
    os.symlink(tmp_path / "kept", tmp_path / ".partial-link")
    with alone_in(tmp_path):
        assert [each.name for each in tmp_path.iterdir()] == ["kept"]


def test_a_target_is_there_whole_or_not_at_all(tmp_path):
    target = tmp_path / "t"
    with pytest.raises(RuntimeError), made_alone(target) as place:
        place.mkdir()
        (place / "half").write_text("")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    left = tmp_path / ".partial-t/.partial-made"
    left.mkdir(parents=True)
    (left / "of a killed one").write_text("")
    with made_alone(target) as place:
        assert not place.exists()
        place.mkdir()
        (place / "whole").write_text("")
    assert [each.name for each in tmp_path.rglob("*")] == ["t", "whole"]
    with pytest.raises(Misuse, match="there already"), made_alone(target):
        pass
