"""Registering: checked, kept whole or not at all, read back as it was."""

import pytest
from msgspec.structs import replace

from tradewind.data.variant_store import VariantStore
from tradewind.errors import Corrupt, Misuse
from tradewind.serving.variants.registry import Registry
from tradewind.serving.variants.variant import Task
from variant_makers import rated

A, B = rated("a", accuracy=0.8), rated("b", deviation=0.0001)


@pytest.fixture
def store(tmp_path):
    with VariantStore(tmp_path / "variants.sqlite") as found:
        yield found


@pytest.fixture
def registry(store):
    found = Registry(store)
    found.add_task(Task("t", description="of tests"))
    return found


def test_what_was_registered_reads_back(registry, store):
    registry.add(B.variant, B.profile)
    registry.add(A.variant)
    again = Registry(store)
    assert again.tasks() == (Task("t", description="of tests"),)
    assert again.variants("t") == again.variants() == (A.variant, B.variant)
    assert again.rated("t") == (B,)
    assert again.variant("a") == A.variant and again.profile("b") == B.profile
    with pytest.raises(Misuse, match="variant 'a' has no profile"):
        again.profile("a")
    registry.profiled(A.profile)
    assert again.rated() == (A, B)


def test_what_is_wrong_is_refused_and_nothing_is_kept(registry):
    with pytest.raises(Misuse, match=r"accuracy: 1\.5 is not between 0 and 1"):
        registry.add(replace(A.variant, accuracy=1.5))
    with pytest.raises(Misuse, match="variant: it is of 'b'"):
        registry.add(A.variant, B.profile)
    with pytest.raises(Misuse, match="there is no task 'u'"):
        registry.add(replace(A.variant, task="u"))
    assert registry.variants() == ()
    registry.add(A.variant)
    with pytest.raises(Misuse, match="there is a variant 'a' already"):
        registry.add(replace(A.variant, accuracy=0.1))
    with pytest.raises(Misuse, match="batches: 16 rows are more than its max_batch, 8"):
        registry.profiled(replace(A.profile, batches=(16,)))
    assert registry.variants() == (A.variant,) and registry.rated() == ()


def test_a_document_of_another_shape_is_said(registry, store):
    store.add_variant("x", "t", {"name": "x"})
    with pytest.raises(Corrupt, match="a Variant does not read back"):
        registry.variants()
