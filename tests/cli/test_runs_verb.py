import json
from pathlib import Path

from tradewind.cli.main import main
from tradewind.data.runs import RunIndex, Serving


def ask(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(["runs", *arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_the_runs_of_a_folder(capsys, tmp_path):
    index = RunIndex(tmp_path)
    first = index.begin("adult", "{}", tmp_path / "adult-1")
    index.update(
        first.id,
        state="done",
        cost=1.5,
        cost_on_demand=5.0,
        quality=0.85,
        metric="accuracy",
        seconds=7200.0,
    )
    index.begin("adult", "{}", tmp_path / "adult-2")
    code, out, _ = ask(capsys, "--out", str(tmp_path))
    lines = out.splitlines()
    assert code == 0 and len(lines) == 3
    assert "running" in lines[1] and "adult-2" in lines[1], "the newest first"
    for part in ("done", "$1.50", "$5.00", "accuracy 0.8500", "2h", "adult-1"):
        assert part in lines[2]
    told = json.loads(ask(capsys, "--out", str(tmp_path), "--json")[1])["runs"]
    assert [Path(run["directory"]).name for run in told] == ["adult-2", "adult-1"]
    assert "1 older runs" in ask(capsys, "--out", str(tmp_path), "--top", "1")[1]


def test_an_endpoint_tells_its_replicas_and_its_url(capsys, tmp_path):
    index = RunIndex(tmp_path)
    index.begin("adult", "{}", tmp_path / "adult-1")
    shop = index.begin("shop", "", tmp_path / "shop-1", Serving())
    index.update(shop.id, cost=0.25, endpoint=Serving("http://127.0.0.1:8080", 3))
    heads, endpoint, run = ask(capsys, "--out", str(tmp_path))[1].splitlines()
    assert heads.split()[-2:] == ["replicas", "URL"]
    assert endpoint.split()[-3:] == ["shop-1", "3", "http://127.0.0.1:8080"] and "$0.25" in endpoint
    assert run.endswith("adult-1") and "running" in endpoint
    told = json.loads(ask(capsys, "--out", str(tmp_path), "--json")[1])["runs"]
    assert [run["endpoint"] for run in told] == [{"url": "http://127.0.0.1:8080", "replicas": 3}, None]


def test_no_runs_yet_and_nothing_is_made(capsys, tmp_path):
    code, out, _ = ask(capsys, "--out", str(tmp_path / "none"))
    assert code == 0 and "no runs" in out and not (tmp_path / "none").exists()
    assert json.loads(ask(capsys, "--out", str(tmp_path / "none"), "--json")[1]) == {"runs": []}


def test_a_file_is_no_folder(capsys, tmp_path):
    (tmp_path / "file").write_text("x")
    code, _, err = ask(capsys, "--out", str(tmp_path / "file"))
    assert code == 2 and "is no folder" in err
