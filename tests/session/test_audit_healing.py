"""A slim image is healed by what workloads take from its side-car; nothing that it had is lost."""

import pytest

from audited_root import runnable_root
from tradewind.data.durable_files import TEMPORARY
from tradewind.errors import Misuse, Permanent
from tradewind.session.audit.healing import heal
from tradewind.session.audit.profile import open_profile
from tradewind.session.audit.slim_folder import slim_folder
from tradewind.session.audit.spec import make_audit_spec
from tradewind.session.audit.steps import record, settle, slim, verify
from tradewind.session.audit.subject import open_subject

pytestmark = pytest.mark.root

CAT = {"name": "cat", "command": "cat /srv/link"}
MORE = {"name": "more", "command": "sh -c 'cat /srv/link /srv/index.html'"}
WASTE = {"name": "waste", "command": "cat /usr/share/waste/pile"}


@pytest.fixture
def root(tmp_path):
    root = runnable_root(tmp_path / "root")
    with open_subject(str(root)) as subject:
        record(subject, tmp_path / "p", make_audit_spec({"run": [CAT]}))
    return root


def slimmed(tmp_path, target, **more):
    with open_subject("", tmp_path / "p") as subject:
        slim(subject, target, **more)
    return target


def healed(tmp_path, target, to, *runs, image="", **more):
    with open_subject(image, tmp_path / "p") as subject:
        return heal(subject, target, make_audit_spec({"run": list(runs), **more}), to)


def test_what_is_missed_is_in_the_next_version_and_in_the_proof(root, tmp_path):
    target = slimmed(tmp_path, tmp_path / "s", form="folders")
    done = healed(tmp_path, target, tmp_path / "s2", CAT, MORE)
    assert [(each.path, each.package, each.opened, each.run) for each in done.misses] == [
        ("srv/index.html", "", True, "more")
    ]
    assert [each.name for each in open_profile(tmp_path / "p").about.workloads] == ["cat", "more"]
    found = slim_folder(tmp_path / "s2", "")
    assert found.healed() == done.misses and found.form == "folders"
    with open_subject("", tmp_path / "p") as subject:
        assert verify(subject, tmp_path / "s2").holds
    again = healed(tmp_path, tmp_path / "s2", tmp_path / "s3", MORE)
    assert again.misses == () and again.written is None and not (tmp_path / "s3").exists()
    assert not [each for each in tmp_path.rglob(f"{TEMPORARY}*")]


def test_what_was_healed_stays_healed_whatever_the_profile_forgets(root, tmp_path):
    slimmed(tmp_path, tmp_path / "s")
    first = healed(tmp_path, tmp_path / "s", tmp_path / "s2", {**MORE, "name": "cat"})
    assert first.misses[0].run == "cat-2", "a run of the profile is not replaced"
    profile = open_profile(tmp_path / "p")
    profile.change(workloads=profile.about.workloads[:1])
    # The image itself may be gone: with its side-car the slim one is the original.
    root.rename(tmp_path / "away")
    original = f"{tmp_path / 's2/image'}@original"
    done = healed(tmp_path, tmp_path / "s2", tmp_path / "s3", MORE, WASTE, image=original)
    assert [each.path for each in done.misses] == ["usr/share/waste/pile"]
    folder = slim_folder(tmp_path / "s3", "")
    assert [each.path for each in folder.healed()] == ["srv/index.html", "usr/share/waste/pile"]
    with folder.halves(tmp_path, open_profile(tmp_path / "p").about.tree) as (small, _):
        assert (small / "srv/index.html").read_text() == "<p>it works</p>\n"


def test_what_the_policy_drops_is_told_and_stays_away(root, tmp_path):
    settle(tmp_path / "p", make_audit_spec({"policy": {"drop": ["usr/share/waste"]}}))
    slimmed(tmp_path, tmp_path / "s", form="folders")
    done = healed(tmp_path, tmp_path / "s", tmp_path / "s2", MORE, WASTE)
    assert len(done.misses) == 2 and done.dropped == ("usr/share/waste/pile",)
    assert [each.path for each in slim_folder(tmp_path / "s2", "").healed()] == ["srv/index.html"]
    assert not (tmp_path / "s2/slim/usr/share/waste/pile").exists()


def test_an_empty_file_that_stands_in_is_a_miss_when_it_is_opened(root, tmp_path):
    settle(tmp_path / "p", make_audit_spec({"policy": {"probed": "placeholder"}}))
    probe = {"name": "probe", "command": "test -e /usr/share/waste/pile"}
    spec = make_audit_spec({"run": [probe], "backend": "strace"})
    with open_subject(str(root)) as subject:
        record(subject, tmp_path / "p", spec, settling=False)
    slimmed(tmp_path, tmp_path / "s")
    assert healed(tmp_path, tmp_path / "s", None, probe, backend="strace").misses == ()
    done = healed(tmp_path, tmp_path / "s", None, WASTE)
    assert [(each.path, each.package) for each in done.misses] == [("usr/share/waste/pile", "apt:waste")]
    assert len(open_profile(tmp_path / "p").about.workloads) == 2, "without a target nothing is written"


def test_what_cannot_be_healed_leaves_everything_as_it_was(root, tmp_path):
    target = slimmed(tmp_path, tmp_path / "s")
    before = (tmp_path / "p/profile.json").read_bytes()
    for work, kind, said in (
        ([MORE, {"name": "bad", "command": "cat /nothing"}], Permanent, "bad ended with exit code 1"),
        ([], Misuse, "nothing to run"),
    ):
        with pytest.raises(kind, match=said):
            healed(tmp_path, target, tmp_path / "s2", *work)
    with pytest.raises(Misuse, match="no slim image"):
        healed(tmp_path, tmp_path, tmp_path / "s2", MORE)
    (tmp_path / "s/removed.jsonl").write_text("{}\n")
    with pytest.raises(Misuse, match="cannot be read"):
        healed(tmp_path, target, tmp_path / "s2", MORE)
    assert (tmp_path / "p/profile.json").read_bytes() == before and not (tmp_path / "s2").exists()
