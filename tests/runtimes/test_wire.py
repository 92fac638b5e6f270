import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.runtimes.wire import Garbled, Inbox, line

NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(
    messages=st.lists(st.dictionaries(st.text(), JSON, max_size=3), max_size=4),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
def test_messages_survive_however_they_are_chopped_up(messages, cuts) -> None:
    sent = b"".join(map(line, messages))
    inbox, received, start = Inbox(), [], 0
    for cut in [*sorted(min(cut, len(sent)) for cut in cuts), len(sent)]:
        received += inbox.feed(sent[start:cut])
        start = cut
    assert received == messages


@pytest.mark.parametrize("text", [b"\n", b"{\n", b"3\n", b"[]\n", b'"x"\n', b"\xff\xfe\n"])
def test_what_is_no_object_is_garbled(text: bytes) -> None:
    with pytest.raises(Garbled):
        Inbox().feed(text)


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}, b"bytes"])
def test_only_json_values_are_sent(value) -> None:
    with pytest.raises((TypeError, ValueError)):
        line({"value": value})


def test_a_line_without_end_is_cut_off(monkeypatch) -> None:
    monkeypatch.setattr("tradewind.runtimes.wire.LONGEST", 1000)
    inbox = Inbox()
    with pytest.raises(Garbled):
        for _ in range(11):
            inbox.feed(b"x" * 100)
