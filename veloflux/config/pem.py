"""What stands in PEM files: certificates and keys, and whether they can be used.

Functions raise ValueError with "what is wrong; what would be right". Nothing of a key is ever said.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

SOON = timedelta(days=14)
_LEAST_RSA_BITS = 2048


def certificates(content: bytes) -> list[x509.Certificate]:
    """All of a file, at least one; what it is for comes first."""
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise ValueError(
            "has no certificate in PEM form; it begins with -----BEGIN CERTIFICATE-----"
        ) from None


def public_key(content: bytes) -> bytes:
    """What the private key in a file belongs to."""
    try:
        key = load_pem_private_key(content, None)
    except TypeError:
        raise ValueError(
            "is encrypted with a password; decrypt it, and let nobody else read it"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(
            "has no private key in PEM form; it begins with -----BEGIN PRIVATE KEY-----"
        ) from None
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def check_strength(leaf: x509.Certificate) -> None:
    """Refuse a key that clients refuse."""
    key = leaf.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _LEAST_RSA_BITS:
        raise ValueError(
            f"has an RSA key of {key.key_size} bits; {_LEAST_RSA_BITS} are the least that is safe"
        )


def check_pair(leaf: x509.Certificate, public: bytes) -> None:
    """Refuse a key that is another certificate's."""
    own = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if own != public:
        raise ValueError("is not the key of the certificate; take the two that belong together")


def check_time(leaf: x509.Certificate, now: datetime) -> None:
    """Refuse what has expired."""
    if leaf.not_valid_after_utc <= now:
        raise ValueError(f"has expired on {_day(leaf.not_valid_after_utc)}; renew it")


def concerns(chain: list[x509.Certificate], now: datetime) -> Iterator[str]:
    """Say what will be, or may be, wrong with a certificate that can be used now."""
    leaf, *others = chain
    if leaf.not_valid_after_utc - now < SOON:
        yield f"expires on {_day(leaf.not_valid_after_utc)}; renew it"
    for each in others:
        if each.not_valid_after_utc - now < SOON:
            yield f"has a chain that ends on {_day(each.not_valid_after_utc)}; renew it"
            break
    if leaf.not_valid_before_utc > now:
        yield f"is not valid before {_day(leaf.not_valid_before_utc)}; is the clock right?"


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
