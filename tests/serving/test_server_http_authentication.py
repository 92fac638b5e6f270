"""Who may call."""

import pytest

from tradewind.errors import Misuse
from tradewind.serving.server.http.authentication import check_exposure, is_loopback, is_permitted


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "[::1]", "localhost", "LocalHost"])
def test_loopback_needs_no_token(host):
    assert is_loopback(host)
    check_exposure(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "example.org", "127.0.0.1.example.org"])
def test_beyond_it_a_token_is_needed(host):
    with pytest.raises(Misuse, match="token"):
        check_exposure(host, None)
    check_exposure(host, "secret")


@pytest.mark.parametrize("token", ["", "two words", "ünsafe", "line\n"])
def test_tokens_that_cannot_be_sent(token):
    with pytest.raises(Misuse, match="token"):
        check_exposure("127.0.0.1", token)


@pytest.mark.parametrize(
    ("header", "permitted"),
    [
        ("Bearer s3cret", True),
        ("bearer s3cret", True),
        ("Bearer  s3cret ", True),
        ("Bearer s3cre", False),
        ("Bearer s3cretx", False),
        ("Basic s3cret", False),
        ("s3cret", False),
        ("Bearer", False),
        ("Bearer \xff", False),
        ("", False),
        (None, False),
    ],
)
def test_is_permitted(header, permitted):
    assert is_permitted(header, "s3cret") is permitted
