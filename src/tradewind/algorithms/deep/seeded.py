"""Whatever a network draws by itself, such as its dropout or its first weights, from one seed.

Torch's own generator is the whole process's, and logical workers may be threads of one process: seeding it
would not give a batch the same numbers wherever it is read. The hook here is a thread's own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_ATEN = torch.ops.aten
_LIKE = (_ATEN.rand_like.default, _ATEN.randn_like.default)


class Seeded(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within, torch's random operators on CPU draw from the generator given, in this thread only.

    Operators that take no generator and are not known here (torch names all that draw) draw from torch's own.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._generator = generator

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called by torch for every operator."""
        given = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **given)
        if any(each.name == "generator" for each in func._schema.arguments):
            if given.get("generator") is None:
                given["generator"] = self._generator
            return func(*args, **given)
        if func in _LIKE:
            empty = _ATEN.empty_like.default(*args, **given)
            fill = _ATEN.uniform_ if func is _LIKE[0] else _ATEN.normal_
            return fill.default(empty, generator=self._generator)
        for overload in ("generator", "low_generator"):
            seeded = getattr(func.overloadpacket, overload, None)
            if seeded is not None and len(seeded._schema.arguments) == len(func._schema.arguments) + 1:
                try:
                    return seeded(*args, generator=self._generator, **given)
                except (TypeError, RuntimeError):
                    continue
        return func(*args, **given)


def seeded(seed: int) -> Seeded:
    """A hook whose generator begins at `seed`."""
    return Seeded(torch.Generator().manual_seed(seed))
