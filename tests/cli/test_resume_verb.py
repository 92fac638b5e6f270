from tradewind.cli.main import main


def test_there_is_nothing_to_go_on_with(capsys, tmp_path):
    assert main(["resume", "latest", "--out", str(tmp_path)]) == 2
    assert "there is no run here" in capsys.readouterr().err


def test_a_run_that_is_done_is_not_begun_again(capsys, tmp_path, write_run):
    write_run(tmp_path / "journal.sqlite")
    assert main(["resume", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("tradewind: ")
