"""A real image, of Debian packages and wheels, from its inventory to the proof of its slim half."""

import json
import os
from pathlib import Path

import pytest

from tradewind.audit.bloat.degrees import measured
from tradewind.audit.images.digests import tree_digest
from tradewind.audit.images.opening import open_files
from tradewind.audit.slimming.writing import ORIGINAL, SLIM
from tradewind.audit.trees import Tree
from tradewind.cli.main import main
from tradewind.session.audit.spec import make_audit_spec
from tradewind.session.audit.steps import record, slim, verify
from tradewind.session.audit.subject import open_subject
from tradewind.testing.images import PACKAGES, missing_for_images, sk_serve

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
        {"name": "unused", "command": ["python3", "-c", "import pandas, PIL.Image; print(PIL.__version__)"]},
    ],
}


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """The folder of an audit: `root`, its profile `p`, and `s`, the slim layout; built once."""
    folder = tmp_path_factory.mktemp("audited")
    cache = os.environ.get("TRADEWIND_IMAGES")
    root = sk_serve(folder / "root", cache=Path(cache) if cache else None)
    with open_subject(str(root)) as subject:
        record(subject, folder / "p", make_audit_spec(SPEC))
    with open_subject("", folder / "p") as subject:
        slim(subject, folder / "s")
    return folder


@pytest.fixture(scope="module")
def subject(audited):
    with open_subject("", audited / "p") as opened:
        yield opened


def test_the_parts_sum_to_the_whole_and_degrees_are_shares(subject):
    inventory = subject.inventory
    parts = sum(inventory.bytes_of(key) for key in inventory.packages)
    assert parts + subject.tree.bytes_of(inventory.unowned) == subject.tree.bytes
    assert {each.manager for each in inventory.packages.values()} == {"apt", "pip"}
    bloat, graph = measured(inventory, subject.closure.kept)
    assert 0.5 < bloat.degree < 1 and all(0 <= each.share.degree <= 1 for each in bloat.packages)
    assert sum(each.share.bytes for each in bloat.packages) == parts
    assert {"pip:scipy", "pip:pandas"} <= set(graph.needed_by("pip:numpy"))


class WithoutDevices:
    """Files but for devices and sockets, which no layer of a slim image holds."""

    def __init__(self, files):
        entries = files.tree.entries.values()
        self.tree = Tree(each for each in entries if each.kind not in ("device", "socket"))
        self.open, self.read = files.open, files.read


def test_the_slim_image_is_a_part_of_the_original_and_nothing_in_it_leads_nowhere(subject, audited):
    layout = audited / "s/image"
    with open_files(layout, reference=ORIGINAL) as whole:
        assert whole.digest == tree_digest(WithoutDevices(subject.files))
    made = set((audited / "s/added.txt").read_text().split())
    assert made == {f"/usr/share/tradewind/{name}" for name in (
        "slimmed.json", "bill-of-materials.cdx.json", "bill-of-materials.spdx.json"
    )} | ({"/usr/share/tradewind"} & made)  # fmt: skip
    with open_files(layout, reference=SLIM) as small:
        tree = small.files.tree
        assert tree.bytes < 0.4 * subject.tree.bytes
        for entry in tree:
            before = subject.tree.get(entry.path)
            if before is None:
                assert entry.path.startswith("usr/share/tradewind")
            elif entry.kind == "link":
                end = subject.tree.resolve(entry.path)[0]
                assert entry.target == before.target
                assert end not in subject.tree or tree.resolve(entry.path)[0] in tree, entry.path
            elif entry.kind == "file" and entry.size and entry.path != "var/lib/dpkg/status":
                assert small.files.read(entry.path) == subject.files.read(entry.path), entry.path


def test_both_images_answer_the_same_and_the_side_car_does_the_rest(subject, audited):
    proof = verify(subject, audited / "s", negative=1, seed=3)
    assert proof.holds, [each.differences for each in (*proof.checks, *proof.beside) if not each.equal]
    assert [each.workload for each in proof.checks] == ["predict", "serve"]
    assert [answer[:3] for answer in proof.checks[1].slim.answers] == ["200", "200", "422"]
    assert [each.workload for each in proof.beside] == ["unused"]
    assert all(each.noticed or each.explained for each in proof.negative)
    assert [each.files > 0 for each in proof.coverage.runs] == [True, True]


def test_the_slim_image_tells_scanners_what_it_still_has(subject, audited):
    used = {"scikit-learn", "numpy", "scipy", "fastapi", "uvicorn", "pydantic", "starlette"}
    with open_subject(f"{audited / 's/image'}@{SLIM}") as small:
        packages = small.inventory.packages
        names = {each.name for each in packages.values() if each.manager == "pip"}
        assert used <= names and not {"pillow", "pandas"} & names
        assert "apt:libc6" in packages and "apt:libperl5.36" not in packages
        bill = json.loads(small.files.read("usr/share/tradewind/bill-of-materials.cdx.json"))
    listed = {each["name"] for each in bill["components"]}
    assert used | {"libc6", "pillow", "pandas"} <= listed, "what was removed is told too"


def test_every_vulnerability_has_a_state_before_and_after(audited, capsys):
    out = audited / "findings.sarif"
    words = ["audit", "vulns", "--profile", str(audited / "p"), "--advisories", str(audited / "advisories")]
    assert main([*words, "--json", "--sarif", str(out)]) == 0
    told = json.loads(capsys.readouterr().out)
    states = {(each["name"], each["before"], each["after"]) for each in told["findings"]}
    assert ("pillow", "present-untouched", "removed") in states
    assert ("scikit-learn", "present-loaded", "present-loaded") in states
    assert {"removed", "metadata-only", "present-untouched", "present-loaded", "unknown"} <= set(
        told["counts"]
    )
    assert told["unanswered"], "nobody tells of Debian here, and that is no pass"
    assert json.loads(out.read_text())["runs"][0]["results"]
    assert main([*words, "--strict"]) == 2 and "Not decided" in capsys.readouterr().out
    assert main([*words, "--fail-on", "any"]) == 1


def test_it_is_told_why_something_is_there(subject):
    numpy = " ".join(subject.question().package("numpy"))
    assert "Run predict opened" in numpy and "pip:scipy" in numpy
    pillow = " ".join(subject.question().package("pillow"))
    assert "Nothing of it is kept" in pillow
    model = " ".join(subject.question().path("/app/model.joblib"))
    assert "no package owns" in model and "Run serve opened it" in model and "It is kept" in model
    source = " ".join(subject.question().path(f"{PACKAGES}/pandas/__init__.py"))
    assert "It is removed" in source
