"""Models put to work beside those of a repository."""

from __future__ import annotations

import pytest
from endpoint_stage import times

from tradewind.errors import Misuse
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.models.repository import Repository, Trust
from tradewind.serving.server.deployments import Deployments


def test_both_are_one_library(tmp_path) -> None:
    times(tmp_path / "base" / "ten.onnx", 10)
    two = times(tmp_path / "two" / "model.onnx", 2)
    (tmp_path / "two" / "model.toml").write_text("max_batch = 7\ninstances = 4\n")
    library = Deployments(Repository(tmp_path / "base"), Trust())
    library.add("shop.a.1", tmp_path / "two", 3)
    assert library.names() == ("shop.a.1", "ten") and library.base_names() == ("ten",)
    assert library.versions("shop.a.1") == ("1",) == library.versions("ten")
    settings = library.settings("shop.a.1")
    assert (settings.max_batch, settings.instances) == (7, 3) and library.settings("ten").instances == 1
    assert library.opening("shop.a.1").path == str(tmp_path / "two") == str(library.artefact("shop.a.1"))
    assert library.opening("ten").path == str(tmp_path / "base" / "ten.onnx")
    library.resize("shop.a.1", 5)
    assert library.settings("shop.a.1").instances == 5 and "shop.a.1" in library
    library.add("file", two)
    assert library.artefact("file") == tmp_path / "two" / "model.onnx"
    library.remove("shop.a.1")
    library.remove("shop.a.1")
    assert "shop.a.1" not in library and library.names() == ("file", "ten")


def test_a_folder_with_one_model_of_any_name_will_do_and_two_will_not(tmp_path) -> None:
    times(tmp_path / "f" / "digits.onnx", 2)
    library = Deployments()
    library.add("a", tmp_path / "f")
    assert library.opening("a").path.endswith("digits.onnx") and library.versions("a") == ("1",)
    times(tmp_path / "f" / "more.onnx", 2)
    with pytest.raises(Misuse, match="2 models"):
        library.add("b", tmp_path / "f")
    with pytest.raises(Misuse, match="nothing here"):
        library.add("b", tmp_path / "none")
    for call in (library.versions, library.artefact, library.settings, library.opening):
        with pytest.raises(Refusal) as refused:
            call("b")
        assert refused.value.kind is RefusalKind.NOT_FOUND
    assert library.names() == ("a",) and library.base_names() == ()
