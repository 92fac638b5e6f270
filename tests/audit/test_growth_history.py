"""Histories made by git itself: what we count is what `git blame` tells at each sampled commit."""

import json
import os
import subprocess

import numpy as np
import pytest

from tradewind.audit.growth import history as module
from tradewind.audit.growth.cohorts import theseus_files
from tradewind.audit.growth.history import count_growth
from tradewind.errors import Misuse

DAY = 86400


class Maker:
    """A repository with a history by chance: edits, renames, deletions, branches, merges with conflicts."""

    def __init__(self, folder):
        self.folder, self.moment = folder, 1_400_000_000
        folder.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments, check=True):
        who = {"GIT_AUTHOR_NAME": "A" if self.moment % 2 else "B é", "GIT_AUTHOR_EMAIL": "a@b.example"}
        when = {f"GIT_{each}_DATE": f"{self.moment} +0000" for each in ("AUTHOR", "COMMITTER")}
        quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(
            ["git", "-c", "user.name=C", "-c", "user.email=c@d", *arguments], cwd=self.folder, check=check,
            capture_output=True, env={**os.environ, **quiet, **who, **when},
        )  # fmt: skip
        return done.stdout.decode(errors="replace")

    def commit(self, message="x"):
        self.moment += 40 * DAY + 1
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)


def edited(chance, lines):
    """Lines with some replaced, put in or taken out."""
    lines = list(lines)
    for _ in range(int(chance.integers(1, 4))):
        at = int(chance.integers(0, len(lines) + 1))
        lines[at : at + int(chance.integers(0, 3))] = [
            f"line {chance.integers(0, 6)}" for _ in range(int(chance.integers(0, 4)))
        ]
    return lines


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    maker = Maker(tmp_path_factory.mktemp("history") / "r")
    chance = np.random.default_rng(4)
    texts = {f"d{i}/file {i}.py": [f"first {k} of {i}" for k in range(30)] for i in range(4)}
    for name, lines in texts.items():
        maker.write(name, "\n".join(lines) + "\n")
    maker.write('odd "name"\t.txt', "no newline at the end")
    maker.commit()
    (maker.folder / "link").symlink_to("d0")
    for step in range(14):
        if step % 4 == 3:
            maker.git("checkout", "-q", "-b", f"side{step}", "HEAD~2")
            name = sorted(p.relative_to(maker.folder).as_posix() for p in maker.folder.glob("d*/*.py"))[0]
            lines = edited(chance, (maker.folder / name).read_text().splitlines())
            maker.write(name, "\n".join(lines) + "\n")
            maker.write(f"side/{step}.py", "from the side\n" * 3)
            maker.commit()
            maker.git("checkout", "-q", "main")
            maker.git("merge", "-q", "--no-commit", f"side{step}", check=False)
            for path in maker.folder.glob("d*/*.py"):  # conflicts are settled by taking both sides
                both = path.read_text().splitlines(keepends=True)
                path.write_text("".join(x for x in both if not x.startswith(("<<<<", "====", ">>>>"))))
            maker.commit()
            continue
        names = sorted(p.relative_to(maker.folder).as_posix() for p in maker.folder.glob("d*/*.py"))
        name = names[int(chance.integers(0, len(names)))]
        lines = edited(chance, (maker.folder / name).read_text().splitlines())
        maker.write(name, "\n".join(lines) + ("\n" if step % 3 else ""))
        if step % 5 == 2:
            maker.git("mv", name, f"d0/moved{step}.py")
        if step == 9:
            (maker.folder / 'odd "name"\t.txt').unlink()
        maker.commit()
    return maker


def blamed(maker, commit):
    """Lines by commit, author and the first folder, as `git blame` tells them."""
    found = {}
    for path in maker.git("ls-tree", "-r", "-z", "--name-only", commit).split("\0")[:-1]:
        for line in maker.git("blame", "--line-porcelain", commit, "--", path).split("\n"):
            if len(line) > 40 and " " in line and all(c in "0123456789abcdef" for c in line[:40]):
                found[line[:40]] = found.get(line[:40], 0) + 1
    return found


def test_counts_are_those_of_blame(made):
    growth = count_growth(made.folder, interval=DAY)
    assert len(growth.samples) >= 12
    merges = made.git("rev-list", "--merges", "HEAD").split()
    assert any(made.git("diff-tree", "-c", "--name-only", "--no-commit-id", each) for each in merges)
    for sample, moment in zip(growth.samples, growth.moments, strict=True):
        ours = {name: dict(found).get(moment, 0) for name, found in growth.survival.items()}
        assert {name: lines for name, lines in ours.items() if lines} == blamed(made, sample)


def test_bytes_are_those_of_the_trees(made):
    growth = count_growth(made.folder, interval=DAY)
    for number, sample in enumerate(growth.samples):
        listed = made.git("ls-tree", "-r", "-l", sample).splitlines()
        size = sum(int(line.split()[3]) for line in listed)
        for curves in growth.curves.values():
            assert sum(curve.bytes[number] for curve in curves) == size


def test_samples_are_spaced(made):
    growth = count_growth(made.folder, interval=100 * DAY)
    assert all(b - a > 100 * DAY for a, b in zip(growth.moments, growth.moments[1:], strict=False))
    assert growth.samples[-1] == made.git("rev-parse", "HEAD").strip()


def test_names_can_be_chosen(made):
    only = count_growth(made.folder, interval=DAY, only=["*.py"], ignore=["side/*"])
    assert {c.label for c in only.curves["extension"]} == {".py"}
    assert "side/" not in {c.label for c in only.curves["directory"]}


def test_the_files_of_git_of_theseus(made):
    growth = count_growth(made.folder, interval=DAY)
    files = theseus_files(growth)
    assert set(files) == {f"{n}.json" for n in ("cohorts", "exts", "authors", "dirs", "domains", "survival")}
    assert files["cohorts.json"]["labels"] == [
        "Code added in 2014",
        "Code added in 2015",
        "Code added in 2016",
    ]
    assert len(files["cohorts.json"]["ts"]) == len(growth.samples) and json.dumps(files)


def test_a_count_that_was_cut_off_goes_on(made, tmp_path, monkeypatch):
    whole = count_growth(made.folder, interval=DAY)
    kept = tmp_path / "growth.safetensors"

    class Cut(Exception):
        pass

    for stop in (3, 9, 15):  # each goes on where the one before was cut off
        steps = []

        def until(number, *rest, _steps=steps, _stop=stop, _go_on=module._files_of):
            _steps.append(number)
            if number >= _stop:
                raise Cut
            return _go_on(number, *rest)

        with monkeypatch.context() as patched, pytest.raises(Cut):
            patched.setattr(module, "_files_of", until)
            count_growth(made.folder, interval=DAY, checkpoint=kept, every=0)
        assert steps[-1] == stop and (stop == 3 or steps[0] > 2)
    assert count_growth(made.folder, interval=DAY, checkpoint=kept, every=0) == whole
    # Other settings, or a damaged file, begin anew.
    assert count_growth(made.folder, interval=100 * DAY, checkpoint=kept) != whole
    kept.write_bytes(kept.read_bytes()[:-50])
    assert count_growth(made.folder, interval=DAY, checkpoint=kept) == whole


def test_what_is_no_whole_history_is_refused(made, tmp_path):
    with pytest.raises(Misuse, match="not a git repository"):
        count_growth(tmp_path)
    with pytest.raises(Misuse, match=r"git rev-parse failed|Needed a single revision"):
        count_growth(made.folder, branch="nowhere")
    shallow = tmp_path / "shallow"
    made.git("clone", "-q", "--depth", "2", made.folder.as_uri(), str(shallow))
    with pytest.raises(Misuse, match="shallow"):
        count_growth(shallow)
