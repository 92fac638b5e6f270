"""The access key in the header of a request that AWS's clients signed.

AWS, "Signature Version 4": `AWS4-HMAC-SHA256 Credential=KEY/date/region/service/aws4_request, ...`. The
signature itself cannot be verified here, where nobody's secret key is known; so where a server asks for a
token, the caller gives the token as the access key, as others give it as a bearer's.
"""

from __future__ import annotations

_SCHEME = "AWS4-HMAC-SHA256"
_SCOPE = 4
"""Parts behind the key: date, region, service, and the word aws4_request."""


def access_key_of(authorization: str) -> str | None:
    """The access key in a header `Authorization`; None if it is no signature of version 4.

    >>> access_key_of("AWS4-HMAC-SHA256 Credential=key/20261121/us-east-1/sagemaker/aws4_request")
    'key'
    """
    scheme, _, rest = authorization.partition(" ")
    if scheme != _SCHEME:
        return None
    for part in rest.split(","):
        name, _, value = part.strip().partition("=")
        if name == "Credential":
            key, *scope = value.rsplit("/", _SCOPE)
            return key if len(scope) == _SCOPE and key else None
    return None
