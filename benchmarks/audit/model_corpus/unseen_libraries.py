"""Attacks by calls into the libraries that models need: numpy, scipy, scikit-learn, joblib, torch."""

from __future__ import annotations

from collections.abc import Callable

from model_corpus.cases import Attack
from model_corpus.unseen_building import (
    MKDIR,
    Apply,
    Name,
    build,
    call,
    expression,
    held,
    new,
    plain,
    program,
    statement,
)


def _with(function: Name, *given: object, **named: object) -> Apply:
    """A call with keyword arguments: a partial that holds them is called."""
    return call(build(held(function), (function, given, named, None)))


def _measured(marker: str) -> bytes:
    return program(call(Name("numpy.testing", "measure"), statement(marker)))


def _printed(marker: str) -> bytes:
    array, shown = call(Name("numpy", "array"), [marker]), {"numpystr": MKDIR}
    return program(_with(Name("numpy", "array2string"), array, formatter=shown))


def _converted(marker: str) -> bytes:
    converters = {0: MKDIR}
    return program(
        _with(Name("numpy", "loadtxt"), [marker], dtype="O", converters=converters, encoding="utf-8")
    )


def _float_error(marker: str) -> bytes:
    return program(
        call(Name("numpy", "seterrcall"), held(Name("cProfile", "run"), statement(marker))),
        _with(Name("numpy", "seterr"), all="call"),
        call(Name("numpy", "log"), call(Name("numpy", "zeros"), 1)),
    )


def _distribution(marker: str) -> bytes:
    # the state of a distribution holds source text that setting the state runs
    kind = Name("scipy.stats._distn_infrastructure", "rv_continuous")
    return program(build(new(kind), {"_parse_arg_template": statement(marker)}))


def _transformed(marker: str) -> bytes:
    step = build(
        new(Name("sklearn.preprocessing._function_transformer", "FunctionTransformer")),
        {"func": MKDIR, "kw_args": None, "validate": False, "inverse_func": None, "accept_sparse": False,
         "check_inverse": False, "feature_names_out": None, "inv_kw_args": None},
    )  # fmt: skip
    where = Name("sklearn.preprocessing._function_transformer", "FunctionTransformer._transform")
    return program(call(where, step, marker, MKDIR))


def _analysed(marker: str) -> bytes:
    counter = _with(Name("sklearn.feature_extraction.text", "CountVectorizer"), analyzer=MKDIR)
    return program(call(Name("sklearn.feature_extraction.text", "CountVectorizer.fit"), counter, [marker]))


def _home(marker: str) -> bytes:
    return program(call(Name("sklearn.datasets", "get_data_home"), marker))


def _parallel(marker: str) -> bytes:
    return program(call(call(Name("joblib", "Parallel"), 1), [(MKDIR, (marker,), {})]))


def _rebuilt(marker: str) -> bytes:
    rebuild, kind = Name("torch._tensor", "_rebuild_from_type_v2"), Name("torch", "Tensor")
    return program(call(rebuild, MKDIR, kind, (marker,), {}), protocol=2)


def _inner_torch(marker: str) -> bytes:
    return program(call(Name("torch.storage", "_load_from_bytes"), plain(marker, 2)), protocol=3)


def _tree(marker: str) -> bytes:
    return program(call(Name("torch.utils._pytree", "tree_map"), MKDIR, {"layers": [marker]}))


def _graph(marker: str) -> bytes:
    body = {"_code": f"def forward(self):\n    pass\n{statement(marker)}\n", "_graphmodule_cls_name": "G"}
    return program(call(Name("torch.fx.graph_module", "reduce_graph_module"), body, ""))


def _mapped_storage(marker: str) -> bytes:
    return program(call(Name("torch", "UntypedStorage.from_file"), marker, True, 16))


def _symbols(marker: str) -> bytes:
    return program(call(Name("sympy", "sympify"), expression(marker)))


def _template(marker: str) -> bytes:
    line = "{{ cycler.__init__.__globals__.os.mkdir('" + marker + "') }}"
    return program(call(Name("jinja2", "Template.render"), call(Name("jinja2", "Template"), line)))


def attacks() -> list[Attack]:
    """All of this kind."""
    made: list[tuple[str, Callable[[str], bytes]]] = [
        ("numpy measures a statement", _measured),
        ("numpy prints by a function", _printed),
        ("numpy converts a column", _converted),
        ("numpy calls on a division by zero", _float_error),
        ("scipy's distribution state holds source", _distribution),
        ("scikit-learn applies a transformer", _transformed),
        ("scikit-learn analyses words", _analysed),
        ("scikit-learn makes its home", _home),
        ("joblib runs in parallel", _parallel),
        ("torch rebuilds by a given function", _rebuilt),
        ("torch loads inner bytes", _inner_torch),
        ("torch maps over a tree", _tree),
        ("torch.fx reads a graph's code", _graph),
        ("torch maps a storage to a file", _mapped_storage),
        ("sympy reads a formula", _symbols),
        ("Jinja renders a template", _template),
    ]
    return [Attack(f"library: {name}", ".pkl", make) for name, make in made]


__all__ = ["attacks"]
