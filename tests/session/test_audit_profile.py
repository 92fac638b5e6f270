"""Profiles on the disk: what is recorded reads back, and what was damaged is named."""

import gzip

import msgspec
import pytest

from tradewind.audit.images.opening import open_files
from tradewind.audit.tracing.events import Event, Run, RunHeader
from tradewind.audit.tracing.outcome import Outcome, Recorded, Written
from tradewind.audit.tracing.reading import read_events
from tradewind.audit.tracing.workload import Workload
from tradewind.audit.verification.comparing import Bounds
from tradewind.audit.verification.proof import Proof, sealed
from tradewind.errors import Misuse
from tradewind.session.audit.profile import open_profile, profile_of
from tradewind.testing.images import small_root

WORK = Workload("one", ("demo",))


@pytest.fixture
def opened(tmp_path):
    with open_files(small_root(tmp_path / "root")) as image:
        yield image


@pytest.fixture
def profile(opened, tmp_path):
    """A profile with one run, which opened a file and wrote two, one without its tracer seeing it."""
    kept = profile_of(tmp_path / "p", opened)
    header = RunHeader("tradewind-trace-1", "one", "fanotify", ("demo",), opened.digest, seconds=2.0)
    events = (Event(0.1, 7, "open", "/srv/notes.txt"), Event(0.2, 7, "write", "/tmp/a"))
    written = tuple(Written(path, "file", 1, 0o644, "", "") for path in ("tmp/a", "etc/passwd"))
    outcome = Outcome(0, b"", b"", written=written)
    touched = read_events(events, opened.files.tree, written=("tmp/a", "etc/passwd"))
    kept.keep(Recorded(Run(header, touched), outcome, events), WORK)
    return kept


def test_a_run_reads_back_with_what_its_layer_took(profile, opened):
    (run,) = open_profile(profile.folder).runs(opened.files.tree)
    assert run.touched.opened == {"srv/notes.txt"} and run.touched.written == {"tmp/a", "etc/passwd"}
    assert str(profile.root()) == opened.source
    assert profile.proof() is None


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "is gone"),
        (lambda path: path.write_bytes(b""), "no header"),
        (lambda path: path.write_bytes(path.read_bytes()[:-20]), "damaged"),
        (lambda path: path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-9])), "damaged"),
        (
            lambda path: path.write_bytes(
                gzip.compress(gzip.decompress(path.read_bytes()).replace(b"sha256:", b"sha256:0"))
            ),
            "another tree",
        ),
    ],
    ids=["gone", "empty", "cut", "cut before packing", "of another tree"],
)
def test_a_damaged_run_is_named(profile, opened, spoil, said):
    path = profile.folder / "runs/one.jsonl.gz"
    spoil(path)
    with pytest.raises(Misuse, match=said) as told:
        profile.runs(opened.files.tree)
    assert str(path) in str(told.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no profile"),
        (b"[]", "is no profile"),
        (b'{"image": 3}', "is no profile"),
        (None, "Record one"),
    ],
    ids=["empty", "list", "wrong type", "missing"],
)
def test_a_damaged_profile_is_named(profile, content, said):
    path = profile.folder / "profile.json"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(Misuse, match=said):
        open_profile(profile.folder)


def test_a_profile_of_a_later_version_or_of_another_tree_is_refused(profile, opened, tmp_path):
    with open_files(small_root(tmp_path / "other")) as image:
        assert profile_of(profile.folder, image).about == profile.about, "an equal tree is the same"
    (tmp_path / "other/srv/notes.txt").write_text("changed")
    with open_files(tmp_path / "other") as image, pytest.raises(Misuse, match="another tree"):
        profile_of(profile.folder, image)
    profile.change(format="tradewind-profile-9")
    with pytest.raises(Misuse, match="profile-9"):
        open_profile(profile.folder)


def test_a_proof_reads_back_unless_it_was_altered(profile):
    proof = sealed(
        Proof(made="2026-01-01", tradewind="1", original="a", slim="b", removed="c", policy="d",
              bounds=Bounds(), checks=())
    )  # fmt: skip
    profile.prove(proof)
    assert open_profile(profile.folder).proof() == proof
    profile.proof_path.write_bytes(msgspec.json.encode(msgspec.structs.replace(proof, slim="x")))
    with pytest.raises(Misuse, match="altered"):
        profile.proof()
