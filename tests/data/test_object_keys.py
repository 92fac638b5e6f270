import pytest

from tradewind.data.durable_files import TEMPORARY
from tradewind.data.object_keys import check_key
from tradewind.errors import Misuse


@pytest.mark.parametrize("key", ["a", "runs/7/model.json", "a b/ü", "a.b..c/...", "-"])
def test_a_key_is_plain_names(key) -> None:
    check_key(key)


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", ".", "../a", "a/../b", "a\0", f"a/{TEMPORARY}b"])
def test_what_is_no_key_is_named(key) -> None:
    with pytest.raises(Misuse, match="is no key") as raised:
        check_key(key)
    assert repr(key) in str(raised.value)
