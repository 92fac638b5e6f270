"""The record of a pipeline: gone on from, never another's, and told when it is damaged."""

from __future__ import annotations

import pytest

from tradewind.errors import Corrupt, Misuse
from tradewind.session.pipeline.record import FILE, TrainedStep, begun, read_record, write_record


def test_the_next_attempt_reads_what_the_last_one_wrote(tmp_path) -> None:
    assert read_record(tmp_path) is None
    first = begun(tmp_path, "a" * 32, 1000.0)
    done = write_record(
        tmp_path,
        type(first)(
            digest=first.digest, began=first.began, trained=TrainedStep("run", 0.5, 60.0, 0.9, "accuracy")
        ),
    )
    assert begun(tmp_path, "a" * 32, 2000.0) == done and read_record(tmp_path) == done
    assert [each.name for each in tmp_path.iterdir()] == [FILE]


def test_another_spec_of_that_name_is_refused_and_changes_nothing(tmp_path) -> None:
    first = begun(tmp_path, "a" * 32, 1000.0)
    with pytest.raises(Misuse, match="another name"):
        begun(tmp_path, "b" * 32, 2000.0)
    assert read_record(tmp_path) == first


@pytest.mark.parametrize("text", ["", "{", '{"digest": 3, "began": 0}', "[]"])
def test_a_damaged_record_is_told_and_not_written_over(tmp_path, text) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(Corrupt, match=FILE):
        begun(tmp_path, "a" * 32, 1000.0)
    assert (tmp_path / FILE).read_text() == text
