"""Another factory's protocols over TLS."""

import contextlib
import ssl
from collections import deque
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.support.authority import Authority, Issued, authority, issued
from veloflux.core.model.tls import Document, ListenerTls
from veloflux.edge.cover import HANDSHAKE_S, MOST, Cover
from veloflux.edge.terms import Terms

PEER = IPv4Address("TCP", "192.0.2.1", 40000)


class Echo(Protocol):
    lost = False

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data.upper())
        if data == b"bye":
            self.transport.loseConnection()

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = True


def terms(*shown: Issued, **fields: Any) -> Terms:
    model = ListenerTls(tuple(each.model for each in shown or (issued("admin"),)), **fields)
    made = Terms(model, "admin", is_http=True)
    deque(made.build(), maxlen=0)
    return made


class Client:
    """The other end of a connection that `cover` builds."""

    def __init__(self, cover: Cover, context: ssl.SSLContext | None = None, **more: Any) -> None:
        self.arriving, self.leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        trusting = context or trust()
        self.tls = trusting.wrap_bio(
            self.arriving, self.leaving, server_hostname="admin", session=more.get("session")
        )
        self.transport = StringTransport(peerAddress=PEER)
        self.near: Any = cover.buildProtocol(PEER)
        self.near.makeConnection(self.transport)

    def turn(self) -> None:
        """Bring what either side has said to the other."""
        if said := self.leaving.read():
            self.near.dataReceived(said)
        self.arriving.write(self.transport.value())
        self.transport.clear()

    def shake(self) -> "Client":
        for _ in range(3):
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
            self.turn()
        return self

    def say(self, data: bytes) -> bytes:
        self.tls.write(data)
        self.turn()
        return self.tls.read(1000)


def trust() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority().pem.decode())


class Covers(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.inner = Factory.forProtocol(Echo)
        self.cover = Cover(self.clock, self.inner, terms())

    def test_bytes_both_ways(self) -> None:
        client = Client(self.cover).shake()
        self.assertEqual(client.say(b"hello"), b"HELLO")
        self.assertTrue(ISSLTransport.providedBy(client.near.protocol.transport))
        self.assertEqual(client.near.protocol.transport.getPeer(), PEER)
        self.assertEqual(client.tls.version(), "TLSv1.3")
        self.clock.advance(2 * HANDSHAKE_S)
        self.assertEqual(client.say(b"still"), b"STILL")
        self.assertFalse(client.near.protocol.transport.disconnecting)
        self.assertEqual(client.say(b"bye"), b"BYE")
        self.assertTrue(client.near.protocol.transport.disconnecting)
        self.assertTrue(client.transport.disconnecting)
        self.assertEqual(client.tls.read(1), b"")

    def test_nothing_is_built_before_the_handshake_is_through(self) -> None:
        client = Client(self.cover)
        client.near.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        self.assertIsNone(client.near.protocol)
        self.assertTrue(client.transport.disconnecting)

    def test_a_handshake_has_a_deadline(self) -> None:
        """L3, T4"""
        client = Client(self.cover)
        self.clock.advance(HANDSHAKE_S - 1)
        self.assertFalse(client.transport.disconnected)
        self.clock.advance(1)
        self.assertTrue(client.transport.disconnected)
        self.assertEqual(self.cover.under_way, 0)

    def test_there_are_so_many_under_way(self) -> None:
        """T4"""
        clients = [Client(self.cover) for _ in range(MOST)]
        self.assertIsNone(self.cover.buildProtocol(PEER))
        clients[0].shake()
        Client(self.cover)
        clients[1].near.connectionLost()
        Client(self.cover)
        self.assertIsNone(self.cover.buildProtocol(PEER))
        self.clock.advance(HANDSHAKE_S)
        self.assertEqual(self.cover.under_way, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_who_is_not_wanted_after_all_is_cut_off(self) -> None:
        self.inner.buildProtocol = lambda _: None  # type: ignore[method-assign]  # as a full one does
        client = Client(self.cover).shake()
        self.assertTrue(client.transport.disconnected)

    def test_other_certificates_are_for_those_who_come_later(self) -> None:
        """X12"""
        before = Client(self.cover).shake()
        fresh = authority().issue("admin")
        self.cover.take(terms(fresh))
        after = Client(self.cover).shake()
        shown = after.tls.getpeercert(binary_form=True)
        self.assertNotEqual(before.tls.getpeercert(binary_form=True), shown)
        self.assertEqual(before.say(b"a"), b"A")

    def test_sessions_are_not_resumed(self) -> None:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = trust()
            context.maximum_version = version
            first = Client(self.cover, context).shake()
            first.say(b"a")
            if first.tls.session is not None:
                again = Client(self.cover, context, session=first.tls.session).shake()
                self.assertEqual(again.say(b"b"), b"B")
                self.assertFalse(again.tls.session_reused)

    def test_clients_may_have_to_show_a_certificate(self) -> None:
        """T2"""
        clients = Authority("Operators")
        self.cover.take(terms(client_ca=Document("/ca.pem", clients.pem)))
        stranger = Client(self.cover)
        with self.assertRaises(ssl.SSLError):
            stranger.shake()
            stranger.say(b"a")
        self.assertIsNone(stranger.near.protocol)
        context = trust()
        shown = clients.issue(subject="alice")
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(shown.pem + shown.key_pem)
        context.load_cert_chain(path)
        client = Client(self.cover, context).shake()
        self.assertEqual(client.say(b"a"), b"A")
        self.assertIsNotNone(client.near.protocol.transport.getPeerCertificate())
