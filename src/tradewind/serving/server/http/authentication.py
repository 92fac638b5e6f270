"""Who may call: whoever sends the token; without one, only this machine."""

from __future__ import annotations

import hmac
from ipaddress import ip_address

from tradewind.errors import Misuse
from tradewind.serving.server.http.aws_signature import access_key_of


def check_exposure(host: str, token: str | None) -> None:
    """Misuse where a server would answer other machines, on `host`, without a token to tell them apart.

    >>> check_exposure("127.0.0.1", None)
    """
    if token is not None and not (token and token.isascii() and token.isprintable() and " " not in token):
        raise Misuse("is empty or holds other than visible ASCII", field="token", fix="Give another token.")
    if not token and not is_loopback(host):
        raise Misuse(
            f"{host or 'every address'} is open to other machines, and no token is asked for",
            field="host",
            fix="Give a token, or bind to 127.0.0.1.",
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`; a name other than localhost is taken to be open.

    >>> is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("")
    (True, False, False)
    """
    try:
        return ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_permitted(authorization: str | None, token: str) -> bool:
    """Whether a header `Authorization: Bearer TOKEN` carries the token; it takes as long whichever part fits.

    AWS's clients sign instead: theirs must be the access key of the signature, which itself is not checked.

    >>> is_permitted("Bearer secret", "secret"), is_permitted("Bearer secreT", "secret")
    (True, False)
    """
    if authorization is None:
        return False
    key = access_key_of(authorization)
    if key is not None:
        return hmac.compare_digest(key.encode(), token.encode())
    scheme, _, given = authorization.partition(" ")
    same = hmac.compare_digest(given.strip(" ").encode(), token.encode())
    return same and scheme.lower() == "bearer"
