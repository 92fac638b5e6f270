"""Pulls are timed by unpacking for real; what is downloaded is computed from sizes."""

import random

import pytest
from audited_roots import profiled

from tradewind.errors import Misuse
from tradewind.session.audit.moving import pull_times
from tradewind.session.audit.steps import slim
from tradewind.session.audit.subject import open_subject


def test_a_pull_of_the_slim_image_moves_fewer_bytes(tmp_path):
    (tmp_path / "root/srv").mkdir(parents=True)
    (tmp_path / "root/srv/weights").write_bytes(random.Random(1).randbytes(200_000))
    root, profile = profiled(tmp_path)
    with open_subject(str(root), profile.folder) as subject:
        slim(subject, tmp_path / "slim")
    (line,) = pull_times(str(root), tmp_path / "slim", tmp_path, megabits=(0.01,))
    # At ten kilobits a second the unpacking does not count.
    assert line.after[1] < line.before[0] and line.unit == "seconds" and "2 times each" in line.given
    with pytest.raises(Misuse, match="holds no layout"):
        pull_times(str(root), tmp_path, tmp_path)
