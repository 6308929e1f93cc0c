"""The far end of a TLS connection, in the hands of the test: it reads and writes clear text."""

import contextlib
import functools
from collections.abc import Sequence
from typing import Any

from OpenSSL import SSL, crypto

from tests.support.authority import Authority, Issued, authority, issued
from tests.support.edge import Backend, BackendEnd, Client, End, Rig
from tests.support.memory import Connector, Peer, StockReactor
from veloflux.core.model.address import Address
from veloflux.core.model.tls import BackendTls, Document, ListenerTls


def client_context(
    trusted: Authority | None = None, shown: Issued | None = None, chain: Sequence[Authority] = ()
) -> SSL.Context:
    """What a client of ours speaks by; `chain` goes with the certificate it shows."""
    context = SSL.Context(SSL.TLS_METHOD)
    store = context.get_cert_store()
    assert store is not None
    store.add_cert(crypto.X509.from_cryptography((trusted or authority()).certificate))
    context.set_verify(SSL.VERIFY_PEER)
    if shown is not None:
        context.use_certificate(shown.certificate)
        context.use_privatekey(shown.key)
    for each in chain:
        context.add_extra_chain_cert(each.certificate)
    return context


class _Secure(End):
    """An end that speaks TLS."""

    def __init__(self, reactor: StockReactor, peer: Peer, tls: SSL.Connection) -> None:
        super().__init__(reactor, peer)
        self.tls = tls
        self.problem: Exception | None = None
        self.has_heard_goodbye = False
        # What comes before TLS.
        self.skipped = 0
        self._heard = 0
        self._clear = bytearray()

    def step(self) -> None:
        """Go on with the handshake by one step, without letting the loop turn."""
        self._listen()
        try:
            self.tls.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error as problem:
            self.problem = problem
        self._encrypted()

    def shake(self) -> None:
        """Go on with the handshake for as long as it goes on."""
        for _ in range(10):
            self.step()
            self._reactor.turn()
            if self.problem is not None:
                return

    @property
    def received(self) -> bytes:
        self._listen()
        with contextlib.suppress(SSL.WantReadError):
            try:
                while True:
                    self._clear += self.tls.recv(1 << 16)
            except SSL.ZeroReturnError:
                self.has_heard_goodbye = True
            except SSL.WantReadError:
                raise
            except SSL.Error as problem:
                self.problem = problem
        return bytes(self._clear)

    @property
    def wire(self) -> bytes:
        """What came, as it came."""
        return bytes(self._peer.received)

    @property
    def bare(self) -> End:
        """The same connection, past TLS."""
        return End(self._reactor, self._peer)

    def queue(self, wire: bytes) -> None:
        self.step()
        while wire:
            wire = wire[self.tls.send(wire) :]
        self._encrypted()

    def send_raw(self, wire: bytes) -> None:
        """Past TLS."""
        super().queue(wire)
        self._reactor.turn()

    def finish(self) -> None:
        self.say_goodbye()
        super().finish()

    def close(self) -> None:
        self.say_goodbye()
        super().close()

    def say_goodbye(self) -> None:
        """Without letting the loop turn."""
        with contextlib.suppress(SSL.Error):
            self.tls.shutdown()
        self._encrypted()

    def _listen(self) -> None:
        received = self._peer.received
        self._heard = max(self._heard, self.skipped)
        if len(received) > self._heard:
            self.tls.bio_write(bytes(received[self._heard :]))
            self._heard = len(received)

    def _encrypted(self) -> None:
        with contextlib.suppress(SSL.WantReadError):
            while True:
                super().queue(self.tls.bio_read(1 << 16))

    def _say(self) -> None:
        self._encrypted()
        self._reactor.turn()


class SecureClient(_Secure, Client):
    """A client over TLS; made by `secure`, which makes its handshake."""


class SecureBackendEnd(_Secure, BackendEnd):
    """One connection to a backend over TLS 1.3, which goes on when it is looked at."""


class SecureBackend(Backend):
    """A backend with a certificate of its own; `preface` is what comes before TLS.

    `names` are what its connections were asked for, by SNI.
    """

    context: SSL.Context | None = None
    preface = b""

    def __init__(self, reactor: StockReactor, address: Address) -> None:
        super().__init__(reactor, address)
        self.show(issued(address.host))

    def show(
        self, shown: Issued, clients: Authority | None = None, alpn: bytes | None = b"h2"
    ) -> None:
        """Use a certificate from now on, and ask for clients' of that authority; agree on `alpn`
        with those who offer it."""
        self.context = SSL.Context(SSL.TLS_METHOD)
        if alpn is not None:
            self.context.set_alpn_select_callback(
                lambda _, offered: alpn if alpn in offered else SSL.NO_OVERLAPPING_PROTOCOLS
            )
        self.context.use_certificate(shown.certificate)
        self.context.use_privatekey(shown.key)
        if clients is not None:
            store = self.context.get_cert_store()
            assert store is not None
            store.add_cert(crypto.X509.from_cryptography(clients.certificate))
            self.context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)

    def _accept(self, connector: Connector) -> None:
        tls = SSL.Connection(self.context, None)
        tls.set_accept_state()
        end = SecureBackendEnd(self.reactor, connector.socket.peer, tls)
        end.skipped = len(self.preface)
        if connector.state == "connecting":
            self.connections.append(end)
        connector.made()
        end.step()


def secure(
    rig: Rig,
    name: str | None = "example.org",
    *,
    context: SSL.Context | None = None,
    session: Any = None,
    alpn: list[bytes] | None = None,
    host: str = "198.51.100.7",
    port: int = 0,
) -> SecureClient:
    """A connection with its handshake made, or failed: then `problem` says why."""
    peer = rig.connect(host, port)
    assert peer is not None, "turned away"
    tls = SSL.Connection(context or client_context(), None)
    tls.set_connect_state()
    if name is not None:
        tls.set_tlsext_host_name(name.encode("latin-1"))
    if alpn:
        tls.set_alpn_protos(alpn)
    if session is not None:
        tls.set_session(session)
    client = SecureClient(rig.reactor, peer, tls)
    client.shake()
    return client


class BackendsOverTls:
    """Mixed into a test case: the backends of its rigs speak TLS."""

    backend_of = SecureBackend
    backend_fields = {"tls": BackendTls(ca=Document("/ca.pem", authority().pem))}


class OverTls:
    """Mixed into a test case: the clients of its rigs speak TLS."""

    listener_fields = {"tls": ListenerTls((issued("example.org", "a", "b", "h").model,))}

    @staticmethod
    def client_of(reactor: StockReactor, peer: Peer) -> SecureClient:
        tls = SSL.Connection(_context(), None)
        tls.set_connect_state()
        client = SecureClient(reactor, peer, tls)
        client.shake()
        assert client.problem is None, client.problem
        return client


@functools.cache
def _context() -> SSL.Context:
    return client_context()
