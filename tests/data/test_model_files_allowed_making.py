"""The command that makes lists."""

from tradewind.data.model_files.allowed.lists import read_list
from tradewind.data.model_files.allowed.making import main


def test_lists_are_written(tmp_path, capsys):
    assert main(["colorsys", "--output", str(tmp_path)]) == 0
    (path,) = tmp_path.glob("*.json")
    assert read_list(path).library == "colorsys"
    assert path.name in capsys.readouterr().out


def test_what_is_not_installed_is_told(tmp_path, capsys):
    assert main(["no_such_library_at_all", "--output", str(tmp_path)]) == 1
    assert "no_such_library_at_all" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
