"""A real image, of Debian packages and wheels, from its inventory to the proof of its slim half."""

import json
import os
from pathlib import Path

import pytest

from tradewind.audit.bloat.degrees import measured
from tradewind.audit.images.digests import tree_digest
from tradewind.audit.images.opening import open_files
from tradewind.audit.slimming.writing import SIDE_CAR, SLIM
from tradewind.audit.trees import Tree
from tradewind.cli.main import main
from tradewind.session.audit.spec import make_audit_spec
from tradewind.session.audit.steps import record, slim, verify
from tradewind.session.audit.subject import Subject, open_subject
from tradewind.testing.images import PACKAGES, missing_for_images, sk_serve_vulnerable

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(missing_for_images()), reason=missing_for_images()),
]
ROWS = {"rows": [[0.5] * 8, [-2.0] * 8]}
SPEC = {
    "run": [
        {"name": "predict", "command": "python3 /app/predict.py", "limit": 120},
        {
            "name": "serve",
            "command": "python3 -m uvicorn serve:app --app-dir /app --port 8000",
            "long_running": True,
            "ready": {"port": 8000, "path": "/health"},
            "requests": [
                {"path": "/health", "status": 200, "json": {"status": "ready"}},
                {
                    "path": "/predict",
                    "method": "POST",
                    "headers": {"Content-Type": "application/json"},
                    "body": json.dumps(ROWS),
                    "status": 200,
                },
                {"path": "/predict", "method": "POST", "body": "none", "status": 422},
            ],
        },
    ],
    "beside": [
        {"name": "unused", "command": ["python3", "-c", "import PIL.Image; print(PIL.__version__)"]},
    ],
}


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """The folder of an audit: `root`, which is built here, its profile `p`, and the halves in `s`."""
    return tmp_path_factory.mktemp("audited")


@pytest.fixture(scope="module")
def subject(audited):
    """The image with its recorded runs, slimmed; opened once, because all of it is read for its digest."""
    cache = os.environ.get("TRADEWIND_IMAGES")
    root = sk_serve_vulnerable(audited / "root", cache=Path(cache) if cache else None)
    with open_subject(str(root)) as opened:
        profile = record(opened, audited / "p", make_audit_spec(SPEC))
        subject = Subject(opened.image, profile)
        slim(subject, audited / "s", form="folders")
        yield subject


def test_the_parts_sum_to_the_whole_and_degrees_are_shares(subject):
    inventory = subject.inventory
    parts = sum(inventory.bytes_of(key) for key in inventory.packages)
    assert parts + subject.tree.bytes_of(inventory.unowned) == subject.tree.bytes
    assert {each.manager for each in inventory.packages.values()} == {"apt", "pip"}
    bloat, graph = measured(inventory, subject.closure.kept)
    assert 0.5 < bloat.degree < 1 and all(0 <= each.share.degree <= 1 for each in bloat.packages)
    assert sum(each.share.bytes for each in bloat.packages) == parts
    assert {"pip:scipy", "pip:scikit-learn"} <= set(graph.needed_by("pip:numpy"))


class Chosen:
    """Files of a tree, each taken from one of several."""

    def __init__(self, sources):
        self.tree = Tree(source.tree.entries[path] for path, source in sources.items())
        self._sources = sources

    def open(self, path):
        return self._sources[path].open(path)


def test_the_halves_are_the_original_and_nothing_in_the_slim_one_leads_nowhere(subject, audited):
    made = set((audited / "s/added.txt").read_text().split())
    assert made == {f"/usr/share/tradewind/{name}" for name in (
        "slimmed.json", "bill-of-materials.cdx.json", "bill-of-materials.spdx.json"
    )} | ({"/usr/share/tradewind"} & made)  # fmt: skip
    with open_files(audited / "s" / SLIM) as small, open_files(audited / "s" / SIDE_CAR) as rest:
        halves = {e.path: half.files for half in (small, rest) for e in half.files.tree}
        # No half of an image holds a device or a socket: engines make them.
        apart = {e.path: subject.files for e in subject.tree if e.kind in ("device", "socket")}
        whole = Chosen({p: half for p, half in (halves | apart).items() if f"/{p}" not in made})
        assert tree_digest(whole) == subject.image.digest
        tree = small.files.tree
        assert tree.bytes < 0.5 * subject.tree.bytes
        for entry in tree:
            before = subject.tree.get(entry.path)
            if before is None:
                assert entry.path.startswith("usr/share/tradewind")
            elif entry.kind == "link":
                end = subject.tree.resolve(entry.path)[0]
                assert entry.target == before.target
                assert end not in subject.tree or tree.resolve(entry.path)[0] in tree, entry.path
            elif entry.kind == "file" and entry.path in rest.files.tree:
                assert entry.size == 0 or entry.path == "var/lib/dpkg/status", entry.path


def test_both_images_answer_the_same_and_the_side_car_does_the_rest(subject, audited):
    proof = verify(subject, audited / "s")
    assert proof.holds, [each.differences for each in (*proof.checks, *proof.beside) if not each.equal]
    assert [each.workload for each in proof.checks] == ["predict", "serve"]
    assert [answer[:3] for answer in proof.checks[1].slim.answers] == ["200", "200", "422"]
    assert [each.workload for each in proof.beside] == ["unused"]
    assert [each.files > 0 for each in proof.coverage.runs] == [True, True]


def test_the_slim_image_tells_scanners_what_it_still_has(subject, audited):
    used = {"scikit-learn", "numpy", "scipy", "fastapi", "uvicorn", "pydantic", "starlette"}
    with open_subject(str(audited / "s" / SLIM)) as small:
        packages = small.inventory.packages
        names = {each.name for each in packages.values() if each.manager == "pip"}
        assert used <= names and not {"pillow", "requests"} & names
        assert "apt:libc6" in packages and "apt:libperl5.36" not in packages
        bill = json.loads(small.files.read("usr/share/tradewind/bill-of-materials.cdx.json"))
    listed = {each["name"] for each in bill["components"]}
    assert used | {"libc6", "pillow", "requests"} <= listed, "what was removed is told too"


def test_every_vulnerability_has_a_state_before_and_after(subject, audited, capsys):
    out = audited / "findings.sarif"
    words = ["audit", "vulns", "--profile", str(audited / "p"), "--advisories", str(audited / "advisories")]
    assert main([*words, "--json", "--sarif", str(out), "--fail-on", "any"]) == 1
    told = json.loads(capsys.readouterr().out)
    states = {(each["name"], each["before"], each["after"]) for each in told["findings"]}
    assert ("pillow", "present-untouched", "removed") in states
    assert ("scikit-learn", "present-loaded", "present-loaded") in states
    assert {"removed", "metadata-only", "present-untouched", "present-loaded", "unknown"} <= set(
        told["counts"]
    )
    assert told["unanswered"], "nobody tells of Debian here, and that is no pass"
    assert json.loads(out.read_text())["runs"][0]["results"]


def test_it_is_told_why_something_is_there(subject):
    numpy = " ".join(subject.question().package("numpy"))
    assert "Run predict opened" in numpy and "pip:scipy" in numpy
    pillow = " ".join(subject.question().package("pillow"))
    assert "Nothing of it is kept" in pillow
    model = " ".join(subject.question().path("/app/model.joblib"))
    assert "no package owns" in model and "Run serve opened it" in model and "It is kept" in model
    source = " ".join(subject.question().path(f"{PACKAGES}/PIL/__init__.py"))
    assert "It is removed" in source
