"""TLS between a server and a replica on another machine: both ends hold one key, made for that link alone.

An identity is a private key and its certificate, signed by itself. Whoever starts a replica makes one and
gives it to both ends; each shows it and takes nobody who shows another. So neither needs an authority, a
name or a clock, and what is on one rented machine opens no other link. TLS 1.3 (RFC 8446) keeps the frames
secret, whole and in order: what is changed or sent again on the way ends the link.

The identity itself reaches the replica as its runtime carries a task's arguments: by Ray as secretly as the
cluster is set up to (`RAY_USE_TLS`).
"""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime

from tradewind.errors import MissingExtra, Misuse

SHOWN = "replica.tradewind"
"""The name in every certificate; it decides nothing."""
_BEGIN, _END = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""RFC 5280, 4.1.2.5: the last moment that can be written is for a certificate without an end. The key ends
with its replica, and the clocks of rented machines are not ours."""


def new_identity() -> str:
    """A new key (elliptic curve P-256) and its certificate, in PEM; MissingExtra without `cryptography`."""
    try:
        from cryptography import x509  # noqa: PLC0415 -- an extra
        from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
        from cryptography.x509.oid import NameOID  # noqa: PLC0415
    except ImportError:
        raise MissingExtra("cryptography", "ray", "The way to replicas on other machines") from None
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SHOWN)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (private + certificate.public_bytes(serialization.Encoding.PEM)).decode()


def front_side(identity: str) -> ssl.SSLContext:
    """For the server, which connects; Misuse for what is no identity."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, identity)


def replica_side(identity: str) -> ssl.SSLContext:
    """For the replica, which listens; Misuse for what is no identity."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity)
    context.num_tickets = 0  # no link is resumed
    return context


def _context(side: int, identity: str) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(cadata=identity[identity.index("-----BEGIN CERTIFICATE") :])
        # OpenSSL takes keys from files alone: this one is in memory, and has no name.
        held = os.memfd_create("identity")
        try:
            os.write(held, identity.encode())
            context.load_cert_chain(f"/proc/self/fd/{held}")
        finally:
            os.close(held)
    except (ValueError, ssl.SSLError) as problem:
        raise Misuse(f"is no identity ({problem})", field="identity", fix="Make a new one.") from None
    return context
