"""What a listener asks of a TLS handshake, and what came of one.

Sessions are resumed by stateless tickets, whose keys are this listener's, its certificates' and its
policy's. Where client certificates are asked for there are none: every connection shows one (no
resumption by another policy, robustness T2).
"""

import hashlib
import ssl
import sys
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote_from_bytes

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from veloflux.core.model.tls import Certificate, Document, ListenerTls
from veloflux.core.model.traffic import Listener
from veloflux.core.policy.server_name import Choice, Names, server_name
from veloflux.edge import openssl
from veloflux.edge.context import present, server_context, trust, words

# Application protocols there is a protocol for.
SPOKEN = ("h2", "http/1.1")
_MAX_CHAIN = 8
_MAX_SUBJECT_BYTES = 4096
# Of printable ASCII, what would end the quoted value or a part of it.
_SAFE = bytes(set(range(0x20, 0x7F)) - set(b'"\\%;,')).decode("ascii") + ","


class Shown(ssl.SSLContext):
    """By which one certificate is shown; `names` are the hosts and addresses it is for."""

    names: Names


class Side(ssl.SSLObject):
    """The server's side of one connection; `sni` is the host that the client has named."""

    sni = ""


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
    """One listener's, once they are built."""

    def __init__(
        self,
        model: ListenerTls,
        listener: str,
        *,
        is_http: bool,
        reach: Callable[[ssl.SSLContext], openssl.Reached | None] = openssl.of,
    ) -> None:
        self.model = model
        self._reach = reach
        self._key = (model, listener, is_http)
        self._label = _label(model, listener)
        self._alpn = [name for name in model.alpn if name in SPOKEN] if is_http else []
        self._contexts: list[Shown] = []
        self._choice = Choice(())
        self._secret = b""

    def build(self) -> Iterator[None]:
        """Take one certificate after the other; raises ValueError for what OpenSSL refuses."""
        for each in self.model.certificates:
            try:
                self._contexts.append(self._context(each))
            except ssl.SSLError as problem:
                why = f"OpenSSL does not take a certificate: {words(problem)}"
                raise ValueError(why) from None
            yield
        self._choice = Choice([each.names for each in self._contexts])

    def are_for(self, model: ListenerTls, listener: str, *, is_http: bool) -> bool:
        """Whether these are what would be made of the same again."""
        return self._key == (model, listener, is_http)

    @property
    def context(self) -> ssl.SSLContext:
        """What a new connection begins by; its sessions are this one's, whichever is shown."""
        return self._contexts[0]

    def share_tickets(self, secret: bytes) -> None:
        """Make their keys of this, which other processes have as well, and no longer of another.

        Where that cannot be, they are new ones all the same, and known to this process alone.
        """
        if secret == self._secret:
            return
        self._secret = secret
        reached = self._reach(self.context)
        if reached is None:
            self._contexts[0] = self._context(self.model.certificates[0])
        else:
            key = HKDF(SHA256(), openssl.TICKET_KEY_BYTES, None, self._label)
            reached.share_tickets(key.derive(secret))

    def give_no_tickets(self) -> None:
        """Have every connection make a handshake of its own."""
        _resume_nothing(self.context)

    def agreement(self, tls: Side) -> Agreement:
        """What came of a handshake; raises UnnamedError."""
        assert isinstance(tls.context, Shown)
        cipher = tls.cipher()
        return Agreement(
            tls.version() or "",
            cipher[0] if cipher else "",
            tls.sni,
            (tls.selected_alpn_protocol() or "").encode("ascii"),
            tls.context.names,
            b"" if self.model.client_ca is None else _subject_line(tls),
        )

    def _context(self, certificate: Certificate) -> Shown:
        context = server_context(Shown, self.model.min_version)
        context.names = Names(names_of(present(context, certificate.cert, certificate.key)))
        context.sslobject_class = Side
        context.sni_callback = self._choose
        if self._alpn:
            context.set_alpn_protocols(self._alpn)
        reached = self._reach(context)
        if reached is not None:
            reached.cache_nothing()
            reached.name_sessions(self._label)
        if self.model.client_ca is not None:
            _ask_for_client(context, reached, self.model.client_ca)
        return context

    def _choose(self, tls: ssl.SSLObject, named: str | None, _: ssl.SSLContext) -> None:
        """The client has said which host it wants."""
        assert isinstance(tls, Side)
        tls.sni = server_name((named or "").encode("ascii"))
        place = self._choice.find(tls.sni)
        if place:
            tls.context = self._contexts[place]


def terms(model: Listener, before: Terms | None) -> Generator[None, None, Terms | None]:
    """Build a listener's; None in clear text. Those `before` where nothing is different: the
    sessions that have begun by them stand. Raises ValueError for what OpenSSL refuses."""
    if model.tls is None:
        return None
    is_http = model.protocol == "http"
    if before is not None and before.are_for(model.tls, model.name, is_http=is_http):
        return before
    made = Terms(model.tls, model.name, is_http=is_http)
    yield from made.build()
    return made


def forgive_names() -> None:
    """Have `ssl` say nothing of a client that names a host which is not ASCII: it gets an alert and
    is counted, and anybody could fill a log."""
    tell = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        is_name = isinstance(unraisable.object, bytes)
        if not (is_name and isinstance(unraisable.exc_value, UnicodeDecodeError)):
            tell(unraisable)

    sys.unraisablehook = hook


def _resume_nothing(context: ssl.SSLContext) -> None:
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def _ask_for_client(
    context: ssl.SSLContext, reached: openssl.Reached | None, authorities: Document
) -> None:
    """A certificate in each connection: nothing of an earlier one is good for another."""
    found = trust(context, authorities)
    context.verify_mode = ssl.CERT_REQUIRED
    _resume_nothing(context)
    if reached is None:
        # It would keep sessions of TLS 1.2, and take them for a certificate.
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    else:
        reached.limit_chain(_MAX_CHAIN)
        reached.name_authorities(each.public_bytes(Encoding.DER) for each in found)


def _label(model: ListenerTls, listener: str) -> bytes:
    """32 bytes that tell this listener, its certificates and its policy for clients from others."""
    ca = b"" if model.client_ca is None else model.client_ca.content
    told = hashlib.sha256()
    for part in (listener.encode(), ca, *(each.cert.content for each in model.certificates)):
        told.update(hashlib.sha256(part).digest())
    return told.digest()


def names_of(leaf: x509.Certificate) -> list[str]:
    """The hosts and addresses that a certificate is for; without any, its common name."""
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return [str(each.value) for each in common[:1]]
    addresses = map(str, found.get_values_for_type(x509.IPAddress))
    return [*found.get_values_for_type(x509.DNSName), *addresses]


def _subject_line(tls: ssl.SSLObject) -> bytes:
    """X-Forwarded-Client-Cert, in Envoy's form: nothing of the certificate can end the value."""
    shown = tls.getpeercert(binary_form=True)
    assert shown is not None
    leaf = x509.load_der_x509_certificate(shown)
    subject = quote_from_bytes(leaf.subject.rfc4514_string().encode(), safe=_SAFE)
    if len(subject) > _MAX_SUBJECT_BYTES:
        raise UnnamedError("the subject of the client's certificate is too long")
    digest = leaf.fingerprint(SHA256()).hex()
    return f'X-Forwarded-Client-Cert: Hash={digest};Subject="{subject}"\r\n'.encode("ascii")
