"""Which parts of a large library a generated list takes: those whose objects model files hold.

torch and numpy hold far more than that: compilers, profilers, test programs, types whose constructors
allocate what they are told. Nothing of it is known to harm, and nothing of it belongs into a model's file, so
it stays out; single names that files do need from elsewhere are in `reviewed.json`. A library that is not
named here is taken whole, but for what `denied` takes out of every list.
"""

from __future__ import annotations

from msgspec import Struct


class Scope(Struct, frozen=True):
    """One part of a library that is taken."""

    module: str
    """A module, with all that is below it."""
    reason: str
    alone: bool = False
    """Whether what is below it is left out."""
    named: bool = False
    """Whether only what may be named and nothing else is taken: ufuncs and functions, no class."""
    only: frozenset[str] = frozenset()
    """The names that are taken; all of them if empty."""


SCOPES: dict[str, tuple[Scope, ...]] = {
    "numpy": (
        Scope("numpy", "ufuncs, which transformers hold; its types are reviewed", alone=True, named=True),
        Scope("numpy", "fitted polynomials of old", alone=True, only=frozenset({"poly1d"})),
        Scope("numpy._core._multiarray_umath", "where some versions say that their ufuncs are", named=True),
        Scope("numpy._core.umath", "where some versions say that their ufuncs are", named=True),
        Scope("numpy.matlib", "where pickle finds a ufunc that does not say where it is", named=True),
        Scope("numpy.lib._arraysetops_impl", "named results of set operations"),
        Scope("numpy.linalg", "named results of decompositions, and their ufuncs"),
        Scope("numpy.ma", "masked arrays and what their operations hold"),
        Scope("numpy.polynomial", "fitted polynomials"),
        Scope("numpy.random", "generators, which estimators hold"),
    ),
    "torch": (
        Scope("torch.nn", "networks: layers, their functions, parametrizations"),
        Scope("torch.optim", "optimizers and schedules, as checkpoints hold them"),
        Scope("torch.distributions", "distributions that a network predicts"),
        Scope("torch.ao.nn", "quantized layers"),
        Scope("torch.ao.quantization", "observers and what quantization was prepared with"),
        Scope("torch.amp.grad_scaler", "the scaler of a checkpoint"),
        Scope("torch.return_types", "named results, such as of max"),
        Scope("torch._C", "the state of a generator", alone=True, only=frozenset({"Generator"})),
    ),
}


def taken(library: str, module: str, name: str, uses: str) -> bool:
    """Whether a name of a library is within its scopes, given the letters of what may be done with it."""
    scopes = SCOPES.get(library)
    if scopes is None:
        return True
    return any(
        (module == each.module or (not each.alone and module.startswith(f"{each.module}.")))
        and (not each.only or name in each.only)
        and not (each.named and uses)
        for each in scopes
    )


def visited(library: str, module: str) -> bool:
    """Whether a module has to be looked at: it, something above it or something below it is in a scope."""
    scopes = SCOPES.get(library)
    return scopes is None or any(
        each.module == module
        or each.module.startswith(f"{module}.")
        or (not each.alone and module.startswith(f"{each.module}."))
        for each in scopes
    )
