import json

import pytest

from tradewind.cli import main as command_line
from tradewind.session.model_cards import SECTIONS, write_card


def ask(capsys, *arguments: str) -> tuple[int, str, str]:
    code = command_line.main(["card", *arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.fixture
def model(tmp_path):
    details = {"name": "adult", "files": {}, "licence": ""}
    write_card(tmp_path, {"version": 1, **{each: {} for each in SECTIONS}, "model_details": details})
    return tmp_path


def test_the_card_is_shown(capsys, model):
    code, out, _ = ask(capsys, str(model))
    assert code == 0 and out == (model / "card.md").read_text() and "# Model card: adult" in out
    code, out, _ = ask(capsys, str(model), "--json")
    assert code == 0 and json.loads(out) == json.loads((model / "card.json").read_text())


def test_fields_are_filled_in(capsys, model):
    code, out, _ = ask(capsys, str(model), "--set", "licence=MIT", "--set", "contact=a=b")
    assert code == 0 and "- licence: MIT" in out and "- contact: a=b" in (model / "card.md").read_text()


@pytest.mark.parametrize("what", ["licence", "license=MIT"])
def test_fields_that_are_none_change_nothing(capsys, model, what):
    before = (model / "card.json").read_bytes()
    code, _, err = ask(capsys, str(model), "--set", what)
    assert code == 2 and err and (model / "card.json").read_bytes() == before


def test_a_card_of_another_model_is_a_failure(capsys, model):
    details = {"name": "adult", "files": {"model.json": {"bytes": 1, "sha256": "0"}}}
    write_card(model, {"version": 1, **{each: {} for each in SECTIONS}, "model_details": details})
    code, _, err = ask(capsys, str(model))
    assert code == 1 and "model.json" in err
    code, _, err = ask(capsys, str(model / "absent"))
    assert code == 2 and "no model card" in err
