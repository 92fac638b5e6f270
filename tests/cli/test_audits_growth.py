"""`tradewind audit growth` on a real repository."""

import json
import subprocess

import pytest

from tradewind.cli.main import main


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "r"
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@b", "-C", str(folder)]
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    for number in range(3):
        (folder / f"f{number}.py").write_text("line\n" * (number + 1))
        subprocess.run([*git, "add", "-A"], check=True)
        when = f"{1_500_000_000 + number * 40_000_000} +0000"
        subprocess.run(
            [*git, "commit", "-qm", "x", "--date", when], check=True, env={"GIT_COMMITTER_DATE": when}
        )
    return folder


def test_a_history_is_told_and_drawn(repository, tmp_path, capsys):
    out = tmp_path / "growth"
    assert main(["audit", "growth", str(repository), "--to", str(out)]) == 0
    told = capsys.readouterr().out
    assert "2017" in told and "all" in told and str(out / "growth.html") in told
    page = (out / "growth.html").read_text()
    assert "<svg" in page and "2018" in page
    assert json.loads((out / "cohorts.json").read_text())["y"][0] == [1, 1, 1]


def test_a_history_as_json(repository, capsys):
    assert main(["audit", "growth", str(repository), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [c["lines"][-1] for c in told["growth"]["curves"]["cohort"]] == [1, 2, 3]


def test_releases_of_a_folder(tmp_path, capsys):
    (tmp_path / "a-1.0.tar.gz").write_bytes(b"12345")
    assert main(["audit", "growth", "--project", "a", "--index", str(tmp_path)]) == 0
    assert "a-1.0.tar.gz" in capsys.readouterr().out


def test_what_cannot_be_measured_is_misuse(tmp_path, capsys):
    assert main(["audit", "growth"]) == 2
    assert main(["audit", "growth", str(tmp_path)]) == 2
    assert "not a git repository" in capsys.readouterr().err
