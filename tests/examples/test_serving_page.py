"""What docs/serving.md shows is what there is: its class answers, its file is read, its tables are whole."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np

from tradewind.cli import endpoint, variants
from tradewind.cli.serve import command
from tradewind.serving.batching.rules import RULES
from tradewind.serving.models.python_class import PythonModel
from tradewind.serving.models.repository import settings_of

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_the_class_answers() -> None:
    names: dict = {}
    (block,) = blocks("python")
    exec(compile(block, "docs/serving.md", "exec"), names)
    model = PythonModel(names["Doubler"](), "Doubler")
    assert np.array_equal(model.predict({"x": np.ones((3, 4), np.float32)})["y"], np.full((3, 4), 2))


def test_the_settings_are_read() -> None:
    (block,) = blocks("toml")
    settings = settings_of(tomllib.loads(block))
    assert (settings.max_batch, settings.instances, settings.slo) == (64, 2, 0.05)


def test_every_rule_and_option_is_there() -> None:
    table = PAGE[PAGE.index("| `--batching`") : PAGE.index("With `--slo")]
    cells = [row.split("|")[1] for row in table.splitlines() if row]
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert named == set(RULES)
    verbs = [command, *endpoint.command.commands.values(), *variants.command.commands.values()]
    options = {option for verb in verbs for each in verb.params for option in each.opts}
    options |= {"--root"}  # of the function host
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) <= options
