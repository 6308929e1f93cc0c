"""The certificates that clients are shown, and until when they are good."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID
from twisted.internet.defer import ensureDeferred
from twisted.logger import Logger

from veloflux.core.model.tls import Document
from veloflux.core.model.traffic import Snapshot

# Of the names of one certificate.
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Certificate:
    """One file's first certificate; moments are Unix time."""

    path: str
    listeners: tuple[str, ...]
    names: tuple[str, ...]
    not_before: float
    not_after: float

    @property
    def name(self) -> str:
        """What it is called by: the first of its names."""
        return self.names[0] if self.names else self.path


InThread = Callable[[Callable[[], tuple[Certificate, ...]]], Awaitable[tuple[Certificate, ...]]]


class Certificates:
    """Knows those of the configuration in force."""

    _log = Logger()

    def __init__(self, in_thread: InThread) -> None:
        self.found: tuple[Certificate, ...] = ()
        self._in_thread = in_thread
        self._latest = 0

    def configure(self, snapshot: Snapshot) -> None:
        """Read those of another configuration."""
        files: dict[Document, list[str]] = {}
        for listener in snapshot.listeners:
            for each in listener.tls.certificates if listener.tls is not None else ():
                files.setdefault(each.cert, []).append(listener.name)
        self._latest += 1
        ensureDeferred(self._read(files, self._latest)).addErrback(
            lambda failure: self._log.failure("certificates could not be read", failure)
        )

    async def _read(self, files: dict[Document, list[str]], number: int) -> None:
        found = await self._in_thread(lambda: tuple(_read(*each) for each in files.items()))
        if number == self._latest:
            self.found = found


def _read(file: Document, listeners: list[str]) -> Certificate:
    leaf = x509.load_pem_x509_certificates(file.content)[0]
    return Certificate(
        path=file.path,
        listeners=tuple(dict.fromkeys(listeners)),
        names=tuple(_names(leaf)[:_SHOWN]),
        not_before=leaf.not_valid_before_utc.timestamp(),
        not_after=leaf.not_valid_after_utc.timestamp(),
    )


def _names(leaf: x509.Certificate) -> list[str]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return [str(each.value) for each in common]
    addresses = [str(each) for each in found.get_values_for_type(x509.IPAddress)]
    return [*found.get_values_for_type(x509.DNSName), *addresses]
