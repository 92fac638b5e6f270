"""tradewind.audit.images.beneath; what it refuses is tested with folders, where it counts"""

import errno
import os
from pathlib import Path

import pytest

from tradewind.audit.images.beneath import open_beneath, open_stepwise


def test_both_ways_refuse_the_same_with_the_same_errors(tmp_path: Path) -> None:
    (tmp_path / "root/directory").mkdir(parents=True)
    (tmp_path / "root/directory/file").write_text("x")
    (tmp_path / "root/link").symlink_to("directory")
    (tmp_path / "root/file-link").symlink_to("directory/file")
    root = os.open(tmp_path / "root", os.O_RDONLY)

    def outcome(opened: object) -> str:
        try:
            os.close(opened())  # type: ignore[operator]
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        return "opened"

    try:
        for path in (
            "",
            "directory",
            "directory/file",
            "directory/absent",
            "absent/x",
            "directory/file/x",
            "../root",
        ):
            found = {
                outcome(lambda path=path: open_beneath(root, path, os.O_RDONLY)),
                outcome(lambda path=path: open_stepwise(root, os.fsencode(path), os.O_RDONLY)),
            }
            assert len(found) == 1, path
        for path in ("link/file", "link", "file-link"):
            with pytest.raises(OSError, match=r"symbolic|directory"):
                open_beneath(root, path, os.O_RDONLY)
            with pytest.raises(OSError, match=r"symbolic|directory"):
                open_stepwise(root, os.fsencode(path), os.O_RDONLY)
    finally:
        os.close(root)
