"""What a listener asks of a TLS handshake, and what came of one.

Sessions are resumed by stateless tickets. Their keys are OpenSSL's own, made with each set of
contexts and known to no other worker; contexts are made anew when a file has changed and every
half day, and the keys with them. Where client certificates are asked for there are no tickets:
every connection shows one (no resumption by another policy, robustness T2).
"""

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import quote_from_bytes

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto

from veloflux.core.model.tls import Certificate, Document, ListenerTls
from veloflux.core.policy.server_name import Choice, Names, server_name

# Application protocols there is a protocol for.
SPOKEN: tuple[bytes, ...] = (b"h2", b"http/1.1")
# Forward secrecy and authenticated encryption only; TLS 1.3 knows no others.
CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
# Seconds for which a context, and so its ticket keys, are used.
ROTATION_S = 12 * 3600.0
_MAX_CHAIN = 8
_MAX_SUBJECT_BYTES = 4096
# Of printable ASCII, what would end the quoted value or a part of it.
_SAFE = bytes(set(range(0x20, 0x7F)) - set(b'"\\%;,')).decode("ascii") + ","


class Agreement(NamedTuple):
    """What both ends have agreed on. `subject` is the line that names the client by its
    certificate, empty where none was asked for."""

    version: str
    cipher: str
    sni: str
    alpn: bytes
    names: Names
    subject: bytes

    def covers(self, host: bytes) -> bool:
        """Whether a request for `host` may come by this connection; one may name none."""
        return not host or self.names.cover(host.decode("ascii"))


class UnnamedError(Exception):
    """A client's certificate has a subject that cannot be passed on."""


class Terms:
    """One listener's. Raises ValueError for what OpenSSL does not take."""

    def __init__(self, model: ListenerTls, listener: str, *, is_http: bool) -> None:
        self.model = model
        self._key = (model, listener, is_http)
        self._label = _label(model, listener)
        self._alpn = [name.encode("ascii") for name in model.alpn] if is_http else []
        self._names = [Names(_names(each.cert)) for each in model.certificates]
        self._choice = Choice(self._names)
        self._until = 0.0
        self._contexts: list[SSL.Context] = []
        self._covered: dict[SSL.Context, Names] = {}
        self._begin_anew()

    def are_for(self, model: ListenerTls | None, listener: str, *, is_http: bool) -> bool:
        """Whether these are what would be made of the same again."""
        return self._key == (model, listener, is_http)

    def begin(self, now: float) -> SSL.Connection:
        """A server's end of a new connection; `now` is in seconds of any steady clock."""
        if now >= self._until:
            if self._until:
                self._begin_anew()
            self._until = now + ROTATION_S
        connection = SSL.Connection(self._contexts[0], None)
        connection.set_accept_state()
        return connection

    def agreement(self, connection: SSL.Connection) -> Agreement:
        """What came of a handshake; raises UnnamedError."""
        return Agreement(
            connection.get_protocol_version_name(),
            connection.get_cipher_name() or "",
            server_name(connection.get_servername()),
            connection.get_alpn_proto_negotiated(),
            self._covered.get(connection.get_context(), self._names[0]),
            b"" if self.model.client_ca is None else _subject_line(connection),
        )

    def _begin_anew(self) -> None:
        try:
            self._contexts = [self._context(each) for each in self.model.certificates]
        except (SSL.Error, crypto.Error) as problem:
            raise ValueError(f"OpenSSL does not take a certificate: {words(problem)}") from None
        # Of those before, too: connections may be on their way.
        self._covered = dict(zip(self._contexts, self._names, strict=True)) | self._covered
        while len(self._covered) > 2 * len(self._contexts):
            self._covered.popitem()

    def _context(self, certificate: Certificate) -> SSL.Context:
        context = plain_context(self.model.min_version)
        present(context, certificate.cert, certificate.key)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_session_id(self._label)
        context.set_timeout(int(ROTATION_S))
        if self.model.client_ca is not None:
            context.set_options(SSL.OP_NO_TICKET)
            _ask_for_client(context, self.model.client_ca)
        if len(self.model.certificates) > 1:
            context.set_tlsext_servername_callback(self._choose)
        if self._alpn:
            context.set_alpn_select_callback(self._select)
        return context

    def _choose(self, connection: SSL.Connection) -> None:
        """The client has said which host it wants."""
        place = self._choice.find(server_name(connection.get_servername()))
        if place:
            # Begun on the first, by whose contexts' age it also ends.
            contexts = self._contexts
            connection.set_context(contexts[place])

    def _select(self, _: SSL.Connection, offered: list[bytes]) -> Any:
        for name in self._alpn:
            if name in SPOKEN and name in offered:
                return name
        return SSL.NO_OVERLAPPING_PROTOCOLS


def plain_context(min_version: str = "1.2") -> SSL.Context:
    """A context with what holds on both sides of the proxy."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(VERSIONS[min_version])
    context.set_cipher_list(CIPHERS)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    return context


def present(context: SSL.Context, cert: Document, key: Document) -> None:
    """Show a certificate with its chain. Raises ValueError or SSL.Error."""
    leaf, *chain = x509.load_pem_x509_certificates(cert.content)
    context.use_certificate(leaf)
    for each in chain:
        context.add_extra_chain_cert(each)
    secret = load_pem_private_key(key.content, None)
    context.use_privatekey(secret)  # type: ignore[arg-type]  # what it cannot take, it refuses
    context.check_privatekey()


def trust(context: SSL.Context, authorities: Document) -> list[x509.Certificate]:
    """Believe these and no others, roots or not. Raises ValueError or SSL.Error."""
    store = context.get_cert_store()
    assert store is not None
    found = x509.load_pem_x509_certificates(authorities.content)
    for each in found:
        store.add_cert(crypto.X509.from_cryptography(each))
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    return found


def words(problem: Exception) -> str:
    """What OpenSSL says is wrong."""
    queue = problem.args[0] if problem.args else ()
    if isinstance(queue, (list, tuple)):
        reasons = [each[-1] for each in queue if isinstance(each, tuple) and each]
        return ", ".join(reasons) or type(problem).__name__
    return str(problem)


def _ask_for_client(context: SSL.Context, authorities: Document) -> None:
    for each in trust(context, authorities):
        context.add_client_ca(each)
    context.set_verify_depth(_MAX_CHAIN)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)


def _label(model: ListenerTls, listener: str) -> bytes:
    """32 bytes that tell this listener and its policy for clients from any other."""
    ca = b"" if model.client_ca is None else model.client_ca.content
    return hashlib.sha256(listener.encode() + b"\0" + ca).digest()


def _names(cert: Document) -> Iterable[str]:
    return names_of(x509.load_pem_x509_certificates(cert.content)[0])


def names_of(leaf: x509.Certificate) -> list[str]:
    """The hosts and addresses that a certificate is for; without any, its common name."""
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return [str(each.value) for each in common[:1]]
    addresses = map(str, found.get_values_for_type(x509.IPAddress))
    return [*found.get_values_for_type(x509.DNSName), *addresses]


def _subject_line(connection: SSL.Connection) -> bytes:
    """X-Forwarded-Client-Cert, in Envoy's form: nothing of the certificate can end the value."""
    leaf = connection.get_peer_certificate(as_cryptography=True)
    assert leaf is not None
    subject = quote_from_bytes(leaf.subject.rfc4514_string().encode(), safe=_SAFE)
    if len(subject) > _MAX_SUBJECT_BYTES:
        raise UnnamedError("the subject of the client's certificate is too long")
    digest = leaf.fingerprint(hashes.SHA256()).hex()
    return f'X-Forwarded-Client-Cert: Hash={digest};Subject="{subject}"\r\n'.encode("ascii")
