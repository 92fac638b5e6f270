"""Models that callers name with the folder that they lie in, as SageMaker's multi-model endpoints do.

A platform downloads and unpacks each model's archive below one folder, and then has the server load it by a
name and that folder (AWS, "Custom Containers Contract for Multi-Model Endpoints").
"""

from __future__ import annotations

from pathlib import Path

from tradewind.errors import Misuse, TradewindError
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.server.deployments import Deployments


class Admission:
    """Makes models of folders below `root` known to `library`, and forgets them."""

    def __init__(self, library: Deployments, root: Path) -> None:
        self._library = library
        try:
            self._root = root.resolve(strict=True)
        except OSError as problem:
            raise Misuse(
                f"is no folder ({problem.strerror or problem})", source=str(root), field="folders",
                fix="Name the folder below which callers' models lie.",
            ) from None  # fmt: skip

    def add(self, name: str, url: str) -> None:
        """Make the model in a folder known. Refusal, MALFORMED, for what lies elsewhere or is no model."""
        if not name or len(name) > 255 or not name.isprintable() or "/" in name or "\\" in name:
            raise Refusal(RefusalKind.MALFORMED, f"model_name: {name[:80]!r} is no name of a model")
        try:
            place = (self._root / url.removeprefix("file://")).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            raise Refusal(RefusalKind.MALFORMED, f"url: there is nothing at {url[:200]!r}") from None
        if place == self._root or not place.is_relative_to(self._root):
            raise Refusal(
                RefusalKind.MALFORMED, f"url: models are loaded from below {self._root}, not {url[:200]!r}"
            )
        if name in self._library.base_names():
            raise Refusal(RefusalKind.MALFORMED, f"model_name: the server has a model {name!r} of its own")
        try:
            self._library.add(name, place)
        except TradewindError as problem:
            raise Refusal(RefusalKind.MALFORMED, f"url: {problem}") from problem

    def remove(self, name: str) -> None:
        """Forget a model; silent for one that did not come this way."""
        self._library.remove(name)
