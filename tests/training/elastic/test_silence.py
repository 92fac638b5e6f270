"""When a silence is one: several probes in a row, over a stated time."""

from tradewind.training.elastic.silence import LEAST, Silence


def test_a_name_is_given_up_after_the_bound_and_not_before() -> None:
    silence = Silence(10.0)
    assert [silence.missed("a", at) for at in (0.0, 4.0, 8.0, 9.9, 10.0)] == [False] * 4 + [True]


def test_few_probes_are_not_enough_however_long_they_took() -> None:
    silence = Silence(10.0)
    assert [silence.missed("a", 100.0 * at) for at in range(LEAST)] == [False] * (LEAST - 1) + [True]


def test_one_answer_and_all_is_forgotten() -> None:
    silence = Silence(10.0)
    for at in range(9):
        assert not silence.missed("a", float(at))
    silence.heard("a")
    assert not any(silence.missed("a", 10.0 + at) for at in range(9))


def test_names_are_counted_apart() -> None:
    silence = Silence(2.0)
    for at in range(4):
        gone = silence.missed("a", float(at))
    assert gone and not silence.missed("b", 3.0)
    silence.heard("nobody")
