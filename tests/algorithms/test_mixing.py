"""Hashes that never change: fixed numbers, and what they are used for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.algorithms.mixing import bits_of, mixed, number_hashes, row_hashes, text_hash, text_numbers

NUMBERS = [8409816773569330625, 16337797793934620200, 5757597812280999536]
ROWS = [16944999142217867476, 1346066267577507604]
TEXTS = [8625955362125501.0, 6979503992988935.0]


def test_the_mixer_is_that_of_splitmix64() -> None:
    """The first outputs of the published generator for seed 1234567."""
    step, state, found = 0x9E3779B97F4A7C15, 1234567, []
    for _ in range(3):
        state = (state + step) % 2**64
        found.append(int(mixed(np.uint64(state))))
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def fnv(text: bytes) -> int:
    h = 0xCBF29CE484222325
    for byte in text:
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return h


def test_text_is_hashed_as_fnv_says() -> None:
    """Its published values for `a` and `foobar`, mixed."""
    assert (fnv(b"a"), fnv(b"foobar")) == (0xAF63DC4C8601EC8C, 0x85944171F73967E8)
    raw = np.frombuffer(b"xfoobarx", np.uint8)
    assert int(text_hash(raw, 1, 7)) == int(mixed(np.uint64(fnv(b"foobar"))))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=9), max_size=9))
def test_texts_become_numbers_that_a_float_holds(texts) -> None:
    found = text_numbers(texts)
    wanted = [int(mixed(np.uint64(fnv(text.encode())))) >> 11 for text in texts]
    assert found.tolist() == wanted
    assert np.array_equal(text_numbers([text.encode() for text in texts]), found)


def test_no_two_of_many_texts_meet() -> None:
    assert len(np.unique(text_numbers([f"city {n}" for n in range(50_000)]))) == 50_000


def test_numbers_that_are_equal_have_equal_bits() -> None:
    found = bits_of(np.array([0.0, -0.0, np.nan, -np.nan, 1.5]))
    assert found[0] == found[1] == 0 and found[2] == found[3]
    assert np.array_equal(bits_of(np.float32([0.1])), bits_of([float(np.float32(0.1))]))
    assert len(np.unique(number_hashes(np.arange(10_000.0)))) == 10_000
    assert not np.isin(number_hashes(np.arange(99.0), 1), number_hashes(np.arange(99.0), 2)).any()


def test_hashes_of_today_are_those_of_tomorrow() -> None:
    """Data that was parted or hashed once must fall the same way for ever."""
    assert number_hashes(np.array([0.0, 1.0, np.nan]), 7).tolist() == NUMBERS
    rows = row_hashes(np.array([0, 2, 2]), np.array([0, 5]), np.array([1.0, 2.5]), 7)
    assert rows.tolist() == ROWS
    assert text_numbers(["", "Zürich"]).tolist() == TEXTS


def test_a_rows_hash_does_not_depend_on_the_order_nor_on_zeros() -> None:
    a = row_hashes(np.array([0, 3]), np.array([4, 1, 9]), np.array([1.0, 2.0, 3.0]))
    b = row_hashes(np.array([0, 4]), np.array([9, 4, 2, 1]), np.array([3.0, 1.0, 0.0, 2.0]))
    c = row_hashes(np.array([0, 3]), np.array([4, 1, 9]), np.array([2.0, 1.0, 3.0]))
    assert a[0] == b[0] and a[0] != c[0]


@pytest.mark.parametrize("bit", [0, 13, 40, 63])
def test_every_bit_is_one_for_half_of_the_numbers(bit) -> None:
    ones = (number_hashes(np.arange(20_000.0)) >> np.uint64(bit)) & np.uint64(1)
    assert abs(ones.mean() - 0.5) < 0.02
