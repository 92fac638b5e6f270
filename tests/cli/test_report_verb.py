import json

import pytest

from small_endpoint import write_endpoint
from tradewind.cli.main import main
from tradewind.data.runs import RunIndex
from tradewind.tuning.study import Study


def ask(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(["report", *arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.fixture
def run(tmp_path, write_run):
    folder = tmp_path / "adult-1"
    folder.mkdir()
    write_run(folder / "journal.sqlite")
    return folder


def test_the_report_of_a_folder(capsys, run):
    code, out, _ = ask(capsys, str(run))
    assert code == 0 and "a small run: done; 3 decisions, 1 revocations" in out
    assert "p2 is cheapest at $0.27" in (run / "report.html").read_text()


def test_the_report_of_a_journal_to_a_file_as_json(capsys, run, tmp_path):
    target = tmp_path / "out" / "r.html"
    code, out, _ = ask(capsys, str(run / "journal.sqlite"), "--to", str(target), "--json")
    told = json.loads(out)
    assert code == 0 and told["report"] == str(target) and target.exists()
    assert told["revocations"] == 1 and told["cost"] == pytest.approx(0.57) and told["decisions"] == 3


def test_the_latest_of_the_record(capsys, run):
    RunIndex(run.parent).begin("adult", "{}", run)
    code, out, _ = ask(capsys, "--out", str(run.parent))
    assert code == 0 and str(run / "report.html") in out


def test_misuse_leaves_nothing(capsys, tmp_path):
    (tmp_path / "note.txt").write_text("x")
    for what in ("absent", str(tmp_path), str(tmp_path / "note.txt")):
        code, out, err = ask(capsys, what, "--out", str(tmp_path))
        assert code == 2 and "journal" in err and not out
    assert [each.name for each in tmp_path.iterdir()] == ["note.txt"]


def test_the_report_of_a_study_in_its_folder_and_by_name(capsys, tmp_path):
    for name in ("study", "other"):
        study = Study({"x": [1, 2]}, search="grid", name=name, store=tmp_path / "study.sqlite")
        study.run(lambda trial: float(trial["x"]))
        study.store.close()
        if name == "study":
            code, out, _ = ask(capsys, str(tmp_path))
            assert code == 0 and "written" in out and "Study study" in (tmp_path / "report.html").read_text()
    code, _, err = ask(capsys, str(tmp_path / "study.sqlite"))
    assert code == 2 and "--study" in err and "other" in err
    code, out, _ = ask(capsys, str(tmp_path / "study.sqlite"), "--study", "other", "--json")
    told = json.loads(out)
    assert code == 0 and told["study"]["name"] == "other" and told["study"]["best"] == 0
    assert ask(capsys, str(tmp_path / "absent.sqlite"), "--study", "x")[0] == 2


def test_the_report_of_an_endpoint(capsys, tmp_path):
    folder = tmp_path / "endpoint-1"
    folder.mkdir()
    write_endpoint(folder / "journal.sqlite")
    code, out, _ = ask(capsys, str(folder))
    assert code == 0 and "Endpoint made: ended; 1,110 requests, 99.10% in time, p99" in out
    assert "for the peak" in (folder / "report.html").read_text()
    target = tmp_path / "r.html"
    code, out, _ = ask(capsys, str(folder / "journal.sqlite"), "--to", str(target), "--json")
    told = json.loads(out)
    assert code == 0 and told["report"] == str(target) and target.exists()
    assert told["kept"] is True and told["requests"] == 1110 and told["replicas"] == 2
    assert told["cost"] == 0.2375 and told["cost_of_peak_on_demand"] == pytest.approx(2.7)
    assert told["revocations"] == 1 and told["decisions"] == 3 and told["outcome"] == "ended"
