"""What runs touched: opened, only asked for, listed, written over; and what was missed until now."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tradewind.audit.slimming.given import Found, Given
from tradewind.audit.slimming.kept import Reason

CACHED = re.compile(r"(?P<folder>(?:.*/)?)__pycache__/(?P<module>[^/]+)\.(?P<tag>[a-z]+\d*-\d+[^/.]*)\.pyc")
"""The compiled file of a module, without the levels of optimisation, which are other files."""
IMPORTABLE = re.compile(r".*(\.py[cdiwx]?|\.pxd|\.(cpython|pypy|abi)[^/]*\.so)")
"""What an import would find by its name; as an empty file it would be a module without content."""
SCAFFOLDING = re.compile(r".*\.(py[cdiwx]?|pxd|h|hpp|hh|cuh|c|cc|cpp|cu|a|la|lib|cmake|pc|md|rst)")


def traced(given: Given) -> Found:
    """What a run opened or executed, and the links that it followed to get there.

    Without the links a path that the workload uses does not lead to the file that is kept.
    """
    for run in given.runs:
        for path in sorted(run.touched.opened):
            yield path, Reason("traced", run.header.name)
        for path in sorted(run.touched.hops):
            yield path, Reason("hop", run.header.name)


def probed(given: Given) -> Found:
    """What a run only asked for: its existence decides what the program does next.

    `import torch` ends in an error where `torch/bin/torch_shm_manager` is missing, which it asks for and does
    not open. Under the policy's `placeholder` empty files stand in for files, but never for a `.py`: the
    compiled file beside it is believed only while the source has the size and time that were noted in it.
    """
    for run in given.runs:
        for path in sorted(run.touched.probed):
            if not (given.file(path) and (stands_in(given, path) or goes_sourceless(given, path))):
                yield path, Reason("probed", run.header.name)


def stands_in(given: Given, path: str) -> bool:
    """Whether an empty file is put in the place of one that was only asked for."""
    return given.policy.probed == "placeholder" and may_be_empty(given, path)


def may_be_empty(given: Given, path: str) -> bool:
    """Whether an empty file under that name does no harm when it is used after all.

    An empty module would be imported. An empty program where a shell looks for programs would be run as a
    script without lines, which succeeds.
    """
    entry = given.file(path)
    if entry is None or IMPORTABLE.fullmatch(path):
        return False
    return not (entry.mode & 0o111 and path.rpartition("/")[0] in given.program_folders)


def goes_sourceless(given: Given, path: str) -> bool:
    """Whether a source was only asked for on the way to its compiled file, which takes its place."""
    return given.policy.sources == "sourceless" and path in given.compiled_sources


def listed(given: Given) -> Found:
    """Directories whose names were read, and under `names` those below them: reading a missing one is an
    error.

    Plugins are found by listing and then opened, so those that a run used are kept by their opening.
    """
    for run in given.runs:
        for path in sorted(run.touched.listed):
            if path and given.directory(path):
                yield path, Reason("listed", run.header.name)
            if given.policy.listings == "names":
                for below in given.tree.children.get(path, ()):
                    if given.directory(below) and not below.endswith("/__pycache__"):
                        yield below, Reason("listed", run.header.name)


def written(given: Given) -> Found:
    """What a run changed is kept as it was; what it made is output, of which only the folder is kept.

    A log that is opened to append, or a folder for results, must be there before the run.
    """
    for run in given.runs:
        for path in sorted(run.touched.written):
            if given.file(path):
                yield path, Reason("changed", run.header.name)
            folder = path if given.directory(path) else path.rpartition("/")[0]
            while folder not in given.tree and folder:
                folder = folder.rpartition("/")[0]
            if folder and given.directory(folder):
                yield folder, Reason("written", run.header.name)


def beside(given: Given) -> Found:
    """What a canary missed and what an image that shares the layer keeps: no run of this image names it."""
    yield from sorted(given.also.items(), key=lambda each: each[0])


def placeholders(given: Given, kept: Mapping[str, Reason]) -> dict[str, Reason]:
    """The files that are not kept, but whose names are, as empty files of the same mode, each with its
    reason.

    They are: what was only asked for, under that policy; the names beside what was listed, under that policy;
    and, where no tracer could see questions, the names in all packages that were opened, lest one be asked
    for.
    """
    found: dict[str, Reason] = {}
    for run in given.runs:
        if given.policy.probed == "placeholder":
            found |= {path: Reason("probed", run.header.name) for path in sorted(run.touched.probed)}
        if given.policy.listings == "names":
            for folder in sorted(run.touched.listed):
                below = given.tree.children.get(folder, ())
                found |= {path: Reason("listed", run.header.name) for path in below}
    if not given.sees_questions and given.policy.unseen == "placeholder":
        for owner in sorted(given.opened_packages):
            names = (path for path in given.inventory.owned[owner] if path not in given.records)
            found |= {path: Reason("unseen", owner) for path in names if not SCAFFOLDING.fullmatch(path)}
    return {
        path: reason
        for path, reason in sorted(found.items())
        if path not in kept and may_be_empty(given, path) and not given.dropped(path)
    }
