"""A virtual environment is traced unconfined, as it is used, and nothing is removed by what is seen so."""

import sys
import venv

import pytest

from tradewind.audit.bloat.degrees import measured
from tradewind.cli.main import main
from tradewind.errors import Misuse, Permanent
from tradewind.session.audit.profile import open_profile
from tradewind.session.audit.spec import make_audit_spec
from tradewind.session.audit.steps import record, slim, verify
from tradewind.session.audit.subject import open_subject
from tradewind.session.audit.telling import audit_report
from tradewind.session.audit.vulnerable import vulnerable

PACKAGE = {
    "used/__init__.py": "from used import part\n",
    "used/part.py": "import os\nDATA = open(os.path.join(os.path.dirname(__file__), 'data.txt')).read()\n",
    "used/data.txt": "hello",
    "used/idle.py": "raise SystemExit\n",
    "idle/__init__.py": "raise SystemExit\n" * 99,
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An environment of two packages and a program beside it, in the current folder."""
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    site = tmp_path / "env" / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    for name in ("used", "idle"):
        texts = {path: text for path, text in PACKAGE.items() if path.startswith(name)}
        info = f"{name}-1.0.dist-info"
        texts |= {f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
                  f"{info}/INSTALLER": "pip\n"}  # fmt: skip
        texts[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*texts, f"{info}/RECORD"))
        for path, text in texts.items():
            (site / path).parent.mkdir(exist_ok=True)
            (site / path).write_text(text)
    (tmp_path / "app.py").write_text("import os, used\nprint(used.part.DATA, os.environ['MINE'])\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINE", "yes")
    return tmp_path


def test_an_environment_is_traced_without_root_and_measured(place, capsys):
    before = sorted(place.rglob("*"))
    assert main(["audit", "trace", "env", "--profile", "p", "--", "python", "app.py"]) == 0
    told = capsys.readouterr()
    assert "Unconfined: env is an environment" in told.err and "(audit-hook)" in told.out
    after = [path for path in sorted(place.rglob("*")) if place / "p" not in (path, *path.parents)]
    assert after == before, "it leaves no compiled modules"
    with open_subject("", place / "p") as subject:
        opened = {path.partition("site-packages/")[2] for path in subject.runs[0].touched.opened}
        assert {"used/__init__.py", "used/part.py", "used/data.txt"} <= opened
        bloat, _ = measured(subject.inventory, subject.closure.kept)
        assert bloat.package("pip:idle").share.degree == 1.0 > bloat.package("pip:used").share.degree > 0
        report = audit_report(subject, found=vulnerable(subject, folder=place))
        assert report.slim is None and "unconfined" in report.bloat.notes[0]
        for step in (lambda: slim(subject, place / "s"), lambda: verify(subject, place / "s")):
            with pytest.raises(Misuse, match="too little to remove files by"):
                step()
    assert main(["audit", "bloat", "--profile", "p"]) == 0
    assert "unconfined and seen in part" in capsys.readouterr().out
    assert main(["audit", "slim", "env", "--run", "touch ran", "--to", "s"]) == 2
    assert not (place / "s").exists() and not (place / "ran").exists()


def test_what_is_not_python_or_fails_is_not_kept(place, capsys):
    for command, said in (
        (["/bin/true"], "no Python was seen"),
        (["python", "-c", "raise SystemExit(3)"], "exit code 3"),
    ):
        with open_subject(str(place / "env")) as subject, pytest.raises(Permanent, match=said):
            record(subject, place / "p", make_audit_spec({"run": [{"command": command}]}))
    assert open_profile(place / "p").about.workloads == ()
    assert main(["audit", "trace", "env", "--profile", "q", "--backend", "strace", "--", "python", "-V"]) == 2
    assert "strace watches confined runs" in capsys.readouterr().err and not (place / "q").exists()
    assert main(["audit", "trace", "env", "--run", "python -V", "--", "python", "-V"]) == 2
