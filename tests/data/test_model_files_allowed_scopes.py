"""The parts of large libraries that their lists take."""

import pytest

from tradewind.data.model_files.allowed.scopes import taken, visited


@pytest.mark.parametrize(
    ("module", "name", "uses", "whether"),
    [
        ("torch.nn.modules.linear", "Linear", "nb", True),
        ("torch.jit._script", "ScriptModule", "nb", False),
        ("torch._C", "Generator", "cnb", True),
        ("torch._C", "Node", "nb", False),
        ("torch._C.sub", "Generator", "cnb", False),
        ("torch.nnother", "X", "nb", False),
        ("torch", "AliasDb", "nb", False),
    ],
)
def test_what_is_taken_of_torch(module, name, uses, whether):
    assert taken("torch", module, name, uses) is whether


def test_of_numpy_itself_ufuncs_are_taken_and_types_are_not():
    assert taken("numpy", "numpy", "log1p", "") and not taken("numpy", "numpy", "void", "cnb")
    assert taken("another", "another.anything", "X", "cnb")


def test_what_is_above_a_scope_is_visited():
    assert visited("torch", "torch.ao") and visited("torch", "torch.nn.modules.linear")
    assert not visited("torch", "torch._inductor") and not visited("torch", "torch._C.sub")
