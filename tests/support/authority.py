"""Certificates made on the spot, by an authority of the tests' own."""

import datetime
import functools
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from veloflux.core.model.tls import Certificate, Document


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Authority:
    """Signs what it is asked to; `pem` is its own certificate, which `above` has signed.

    It may sign for hosts below `permitted` alone, if that is given.
    """

    def __init__(
        self,
        name: str = "Test Authority",
        above: "Authority | None" = None,
        permitted: str | None = None,
    ) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        issuer = above or self
        builder = (
            _builder(self._name, issuer._name, self._key, 3650)
            .add_extension(constraints, critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(_key_id(self._key), critical=False)
        )
        if permitted is not None:
            names = x509.NameConstraints([x509.DNSName(permitted)], None)
            builder = builder.add_extension(names, critical=True)
        self.certificate = builder.sign(issuer._key, hashes.SHA256())
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        *names: str,
        subject: str = "test",
        days: float = 90,
        usage: x509.ObjectIdentifier | None = None,
    ) -> "Issued":
        """A certificate for hosts and addresses, valid for so many days from an hour ago."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(subject), self._name, key, days)
        builder = builder.add_extension(_usage(signs=False), critical=True)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        if names:
            alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return Issued(builder.sign(self._key, hashes.SHA256()), key)


class Issued:
    """A certificate with its key."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self.key = key
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)
        self.key_pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def model(self) -> Certificate:
        """As a snapshot has it."""
        return Certificate(Document("/tls/a.pem", self.pem), Document("/tls/a.key", self.key_pem))


CLIENT_ONLY = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER_ONLY = ExtendedKeyUsageOID.SERVER_AUTH


@functools.cache
def authority() -> Authority:
    """The one for everybody who needs no other."""
    return Authority()


@functools.cache
def issued(*names: str) -> Issued:
    """One of its certificates, the same each time."""
    return authority().issue(*names)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: float
) -> x509.CertificateBuilder:
    begin = now() - datetime.timedelta(hours=1)
    if days < 0:
        begin += datetime.timedelta(days=days - 1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(now() + datetime.timedelta(days=days))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(not signs, False, False, False, False, signs, signs, False, False)


def _key_id(key: ec.EllipticCurvePrivateKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
