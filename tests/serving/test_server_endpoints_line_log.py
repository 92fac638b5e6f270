"""Lines of JSON in files: whole, counted, moved, and no caller's trouble when the disk is full."""

from __future__ import annotations

import asyncio
import resource

import fsspec
import pytest

from tradewind import clock
from tradewind.errors import Unreachable
from tradewind.serving.server.endpoints import line_log
from tradewind.serving.server.endpoints.line_log import LineCounts, LineLog


def run(main):
    return clock.serve(main())


@pytest.fixture
def small_disk():
    """Files of 4 KiB at most; what is beyond fails as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full(yes):
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096 if yes else soft, hard))

    yield full
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_lines_of_a_place_are_in_its_file_of_the_hour(tmp_path) -> None:
    async def main():
        log = LineLog(f"file://{tmp_path}", tmp_path / "spool")
        log.start()
        for number in range(5):
            assert log.add("shop/a", lambda number=number: b'{"n":%d}' % number)
        log.add("shop/b", lambda: b"{}")
        log.add("shop/b", lambda: 1 / 0)
        await log.close()
        assert (log.written, log.lost) == (6, 1)
        assert not log.add("shop/a", lambda: b"late") and log.lost == 2

    run(main)
    (file,) = (tmp_path / "shop" / "a").rglob("*.jsonl")
    assert file.read_text() == "".join(f'{{"n":{number}}}\n' for number in range(5))
    assert len(file.relative_to(tmp_path / "shop" / "a").parts) == 5


def test_on_a_full_disk_whole_lines_are_kept_and_the_rest_is_counted(tmp_path, small_disk) -> None:
    said = []

    async def main():
        log = LineLog(str(tmp_path), tmp_path / "spool", said.append)
        log.start()
        log.add("p", lambda: b"x" * 1000)
        while not log.written:
            await asyncio.sleep(0.02)
        small_disk(True)
        for _ in range(5):
            log.add("p", lambda: b"y" * 1000)
        while not log.lost:
            await asyncio.sleep(0.02)
        small_disk(False)
        log.add("p", lambda: b"z" * 1000)
        await log.close()
        assert (log.written, log.lost) == (2, 5)
        assert log.counts == {"p": LineCounts(2, 2002, no_disk=5)}

    run(main)
    (file,) = (tmp_path / "p").rglob("*.jsonl")
    assert file.read_bytes() == b"x" * 1000 + b"\n" + b"z" * 1000 + b"\n"
    assert len(said) == 2 and "are lost" in said[0] and "5 were lost" in said[1]


def test_what_waits_is_bounded(tmp_path) -> None:
    async def main():
        log = LineLog(str(tmp_path), tmp_path / "spool")
        assert log.add("p", lambda: b"{}", 60 << 20) and not log.add("p", lambda: b"{}", 5 << 20)
        log.pass_over("q")
        assert log.lost == 2 and (log.counts["p"].no_room, log.counts["q"].too_large) == (1, 1)

    run(main)


def test_closing_that_is_cancelled_loses_no_line(tmp_path) -> None:
    async def main():
        log = LineLog(str(tmp_path), tmp_path / "spool")
        log.start()
        log.add("p", lambda: b"{}")
        first = asyncio.create_task(log.close())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        await log.close()
        assert log.written == 1

    run(main)


def test_lines_for_another_store_are_moved_and_those_that_a_kill_left_too(tmp_path) -> None:
    system = fsspec.filesystem("memory")
    left = tmp_path / "spool" / "shop" / "a" / "2026" / "11" / "21" / "09"
    left.mkdir(parents=True)
    (left / "59-59.jsonl").write_text("{}\n")
    destination = "memory://captured-lines"

    async def main():
        log = LineLog(destination, tmp_path / "spool")
        log.start()
        log.add("shop/a", lambda: b'{"n":1}')
        await log.close()
        assert log.written == 1

    run(main)
    found = {path: system.cat_file(path) for path in system.find("captured-lines")}
    assert sorted(found.values()) == [b'{"n":1}\n', b"{}\n"]
    assert not list((tmp_path / "spool").rglob("*.jsonl"))
    system.rm("captured-lines", recursive=True)


def test_a_store_that_cannot_be_reached_leaves_the_files_here(tmp_path) -> None:
    said = []

    async def main():
        log = LineLog("nowhere://bucket", tmp_path / "spool", said.append)
        log.start()
        log.add("p", lambda: b"{}")
        await log.close()

    run(main)
    assert len(list((tmp_path / "spool").rglob("*.jsonl"))) == 1 and "nowhere" in said[0]


def test_files_are_moved_once_the_store_can_be_reached_again(tmp_path, monkeypatch) -> None:
    said, stores, kept = [], [], {}
    monkeypatch.setattr(line_log, "_OLD", 0.0)  # every line has a file of its own
    monkeypatch.setattr(line_log, "_AGAIN", 0.1)

    class Store:
        def put(self, key, content):
            kept[key] = content

    def opened(address):
        if not stores:
            raise Unreachable("nobody is there")
        return stores[0]

    monkeypatch.setattr(line_log, "open_store", opened)

    async def main():
        log = LineLog("s3://bucket", tmp_path / "spool", said.append)
        log.start()
        for number in range(2):
            log.add(f"p/{number}", lambda: b"{}")
            while log.written <= number or log.unmoved <= number:
                await asyncio.sleep(0.02)
        stores.append(Store())
        while log.unmoved:
            await asyncio.sleep(0.02)
        assert sorted(key[:3] for key in kept) == ["p/0", "p/1"]
        await log.close()
        assert log.written == 2 and not log.lost

    run(main)
    assert len(said) == 2 and "nobody is there" in said[0] and "moved to s3://bucket again" in said[1]
    assert not list((tmp_path / "spool").rglob("*.jsonl"))
