"""The steps of an audit on a small root that runs: recorded, slimmed, verified, and what goes wrong."""

import msgspec
import pytest

from audited_root import WASTE, as_layout, runnable_root
from tradewind.audit.images.opening import open_files
from tradewind.data.durable_files import TEMPORARY
from tradewind.errors import Misuse, Permanent
from tradewind.session.audit.profile import open_profile
from tradewind.session.audit.spec import make_audit_spec
from tradewind.session.audit.steps import record, settle, slim, verify
from tradewind.session.audit.subject import open_subject

pytestmark = pytest.mark.root

CAT = {"name": "cat", "command": "cat /srv/link"}
SERVICE = {
    "name": "web",
    "command": "httpd -f -p 127.0.0.1:8080 -h /srv",
    "long_running": True,
    "ready": {"port": 8080, "path": "/index.html"},
    "requests": [{"path": "/index.html", "status": 200}],
}


@pytest.fixture
def root(tmp_path):
    return runnable_root(tmp_path / "root")


def recorded(image, folder, *runs, **more):
    """The profile of runs that were recorded in an image."""
    with open_subject(str(image)) as subject:
        return record(subject, folder, make_audit_spec({"run": list(runs), **more}))


def slimmed(folder, target, **more):
    with open_subject("", folder) as subject:
        return slim(subject, target, **more)


def verified(folder, target, **more):
    with open_subject("", folder) as subject:
        return verify(subject, target, **more)


def left(folder):
    return [each.name for each in folder.rglob(f"{TEMPORARY}*")]


@pytest.mark.parametrize("form", ["layout", "folders"])
def test_a_command_and_a_service_do_the_same_in_the_slim_image(root, tmp_path, form):
    profile = recorded(
        root, tmp_path / "p", CAT, SERVICE, beside=[{"command": "test -s /usr/share/waste/pile"}]
    )
    assert [each.header.name for each in profile.runs(open_tree(root))] == ["cat", "web"]
    written, closure = slimmed(tmp_path / "p", tmp_path / "s", form=form)
    assert 0 < WASTE - 20_000 < written.original_bytes - written.bytes <= written.original_bytes
    assert {"bin/busybox", "etc/motd", "srv/link", "srv/index.html"} <= closure.kept.paths
    assert "usr/share/waste/pile" not in closure.kept
    proof = verified(tmp_path / "p", tmp_path / "s", repetitions=2)
    assert proof.holds and len(proof.checks) == 4 and len(proof.beside) == 1
    assert proof.checks[2].slim.answers[0].startswith("200 ")
    assert proof.original == profile.about.tree != proof.slim
    assert open_profile(tmp_path / "p").proof() == proof
    assert left(tmp_path) == []


def open_tree(root):
    with open_files(root) as image:
        return image.files.tree


def test_original_is_slim_with_its_side_car(root, tmp_path):
    layout = as_layout(root, tmp_path / "image.oci")
    profile = recorded(layout, tmp_path / "p", CAT)
    slimmed(tmp_path / "p", tmp_path / "s")
    with (
        open_files(tmp_path / "s/image", reference="original") as again,
        open_files(tmp_path / "s/image", reference="slim") as small,
    ):
        assert again.digest == profile.about.tree
        kept = [entry for entry in small.files.tree if entry.path in again.files.tree.entries]
        changed = {
            entry.path
            for entry in kept
            if entry.kind == "file" and small.files.read(entry.path) != again.files.read(entry.path)
        }
        assert changed == {"var/lib/dpkg/status"}, "the filtered database, and nothing else"
        assert "usr/share/tradewind/bill-of-materials.cdx.json" in small.files.tree
    assert verified(tmp_path / "p", tmp_path / "s").holds


def test_the_image_that_was_named_among_several_is_the_one_that_runs(root, tmp_path):
    layout = as_layout(root, tmp_path / "image.oci", "one")
    (root / "etc/motd").write_text("another\n")
    other = as_layout(root, tmp_path / "other.oci", "two")
    for blob in (other / "blobs/sha256").iterdir():
        blob.replace(layout / "blobs/sha256" / blob.name)
    index = msgspec.json.decode((layout / "index.json").read_bytes())
    index["manifests"] += msgspec.json.decode((other / "index.json").read_bytes())["manifests"]
    (layout / "index.json").write_bytes(msgspec.json.encode(index))
    profile = recorded(f"{layout}@two", tmp_path / "p", CAT)
    assert profile.about.image == f"{layout}@two"
    assert (profile.root() / "etc/motd").read_text() == "another\n"
    slimmed(tmp_path / "p", tmp_path / "s")
    assert verified(tmp_path / "p", tmp_path / "s").holds


def test_a_directory_is_one_whatever_files_it_has(root, tmp_path):
    (root / "manifest.json").write_text("{}")
    profile = recorded(root, tmp_path / "p", CAT)
    assert profile.root() == root


def test_runs_join_and_a_run_of_the_same_name_is_replaced(root, tmp_path):
    recorded(root, tmp_path / "p", CAT)
    recorded(root, tmp_path / "p", {"name": "more", "command": "cat /srv/index.html"})
    profile = recorded(root, tmp_path / "p", {**CAT, "command": "cat /etc/passwd"})
    assert [each.name for each in profile.about.workloads] == ["more", "cat"]
    opened = frozenset.union(*(run.touched.opened for run in profile.runs(open_tree(root))))
    assert opened == {"bin/busybox", "srv/index.html", "etc/passwd"}


def test_adding_a_run_leaves_what_was_settled(root, tmp_path):
    recorded(root, tmp_path / "p", CAT, policy={"locales": True}, bounds={"relative": 0.1}, beside=[SERVICE])
    with open_subject(str(root)) as subject:
        spec = make_audit_spec({"run": [{"name": "more", "command": "true"}]})
        about = record(subject, tmp_path / "p", spec, settling=False).about
    assert about.policy.locales and about.bounds.relative == 0.1 and about.beside[0].name == "web"
    settle(tmp_path / "p", make_audit_spec({"bounds": {"absolute": 1.0}}), policy=False)
    about = open_profile(tmp_path / "p").about
    assert about.policy.locales and about.bounds.absolute == 1.0 and about.beside == ()


@pytest.mark.parametrize(
    ("work", "said"),
    [
        ({"command": "sh -c 'echo no such model >&2; exit 3'"}, "exit code 3: no such model"),
        ({"command": "sleep 60", "limit": 0.2}, "limit"),
        ({**SERVICE, "command": "sh -c 'exit 4'"}, "ended on its own"),
        ({**SERVICE, "requests": [{"path": "/none", "status": 200}]}, "request 1.*200, and it is 404"),
        ({**SERVICE, "requests": [{"path": "/", "port": 81}]}, "refuses"),
    ],
    ids=["fails", "too long", "a service that ends", "a wrong answer", "no answer"],
)
def test_a_run_that_fails_is_not_kept(root, tmp_path, work, said):
    recorded(root, tmp_path / "p", CAT)
    with pytest.raises(Permanent, match=said):
        recorded(root, tmp_path / "p", {**work, "name": "bad"})
    assert [each.name for each in (tmp_path / "p/runs").iterdir()] == ["cat.jsonl.gz"]
    assert [each.name for each in open_profile(tmp_path / "p").about.workloads] == ["cat"]
    assert left(tmp_path) == []


def test_nothing_can_be_said_of_an_image_that_has_changed(root, tmp_path):
    recorded(root, tmp_path / "p", CAT)
    slimmed(tmp_path / "p", tmp_path / "s")
    (root / "etc/motd").write_text("HELLO\n")
    for step in (
        lambda: slimmed(tmp_path / "p", tmp_path / "s2"),
        lambda: verified(tmp_path / "p", tmp_path / "s"),
        lambda: recorded(root, tmp_path / "p", CAT),
    ):
        with pytest.raises(Misuse, match="another tree"):
            step()
    assert not (tmp_path / "s2").exists() and left(tmp_path) == []


def test_a_slim_image_of_another_tree_is_not_verified(root, tmp_path):
    recorded(root, tmp_path / "p", CAT)
    slimmed(tmp_path / "p", tmp_path / "s")
    (root / "etc/motd").write_text("HELLO\n")
    recorded(root, tmp_path / "p2", CAT)
    with pytest.raises(Misuse, match="made of another tree"):
        verified(tmp_path / "p2", tmp_path / "s")
    with pytest.raises(Misuse, match="no slim image"):
        verified(tmp_path / "p2", tmp_path / "nothing")


def test_a_slim_image_that_was_damaged_is_told(root, tmp_path):
    recorded(root, tmp_path / "p", CAT)
    slimmed(tmp_path / "p", tmp_path / "s", form="folders")
    (tmp_path / "s/slim/etc/motd").write_text("hullo\n")
    proof = verified(tmp_path / "p", tmp_path / "s")
    assert not proof.holds and proof.checks[0].differences[0].where.startswith("stdout")


def test_a_target_that_is_there_is_left_alone(root, tmp_path):
    recorded(root, tmp_path / "p", CAT)
    (tmp_path / "s").mkdir()
    with pytest.raises(Misuse, match="there already"):
        slimmed(tmp_path / "p", tmp_path / "s")
    assert list((tmp_path / "s").iterdir()) == []


def test_without_a_run_there_is_nothing_to_slim(root, tmp_path):
    with open_subject(str(root)) as subject, pytest.raises(Misuse, match="nothing to run"):
        record(subject, tmp_path / "p", make_audit_spec({}))
    assert not (tmp_path / "p").exists()
    with pytest.raises(Permanent):
        recorded(root, tmp_path / "p", {"command": "sh -c 'exit 1'"})
    with pytest.raises(Misuse, match="no run is recorded"):
        slimmed(tmp_path / "p", tmp_path / "s")
