"""TLS passed on unopened, to the pool of the host that is asked for."""

from dataclasses import replace
from typing import Any

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from tests.core.wire.test_hello import real
from tests.support.authority import issued
from tests.support.edge import GET, Rig
from tests.support.secure import SecureBackend, secure
from veloflux.core.model.address import Address
from veloflux.core.model.traffic import Backend, Pool, SniRoute
from veloflux.core.wire.hello import UNRECOGNIZED_NAME

RULES = (SniRoute("a.example", "first"), SniRoute("*.b.example", "second"))


class Passing(SynchronousTestCase):
    backend_of = SecureBackend

    def rig(self, default: str | None = None, **fields: Any) -> Rig:
        pools = tuple(
            Pool(name, (Backend(Address(f"10.0.0.{n}", 80)),))
            for n, name in enumerate(("first", "second", "third"), 1)
        )
        listener = {"protocol": "tcp", "pool": default, "sni": RULES, **fields}
        seconds = listener.pop("header_timeout_s", 10.0)
        limits = {"header_timeout_s": seconds}
        rig = Rig(self, backends=3, pools=pools, listener=listener, limits=limits, routes=())
        for backend in rig.backends:
            assert isinstance(backend, SecureBackend)
            backend.show(issued("a.example", "x.b.example", "other.example"))
        return rig

    def test_goes_by_the_name_asked_for(self) -> None:
        for name, place in (
            ("a.example", 0),
            ("A.Example", 0),
            ("x.b.example", 1),
            ("x.y.b.example", 1),
            ("other.example", 2),
            (None, 2),
            ("192.0.2.1", 2),
        ):
            rig = self.rig("third")
            client = secure(rig, name)
            [connection] = rig.backends[place].connections
            self.assertEqual(connection.bare.received[:1], b"\x16")  # type: ignore[attr-defined]
            for _ in range(4):
                connection.step()  # type: ignore[attr-defined]
                rig.reactor.turn()
                client.step()
                rig.reactor.turn()
            client.send(GET)
            self.assertEqual(connection.received, GET)
            connection.send(b"hello")
            self.assertEqual(client.received, b"hello")

    def test_the_backends_own_certificate_is_shown(self) -> None:
        rig = self.rig()
        client = secure(rig, "a.example")
        for _ in range(4):
            rig.backends[0].connections[0].step()  # type: ignore[attr-defined]
            rig.reactor.turn()
            client.step()
            rig.reactor.turn()
        shown = client.tls.get_peer_certificate(as_cryptography=True)
        certificate = issued("a.example", "x.b.example", "other.example").certificate
        self.assertEqual(shown, certificate)

    def test_what_comes_in_single_bytes(self) -> None:
        rig = self.rig()
        peer = rig.connect()
        assert peer is not None
        wire = real(b"a.example")
        for byte in wire:
            peer.near.arrive(bytes([byte]))
            rig.reactor.turn()
        [connection] = rig.backends[0].connections
        self.assertEqual(connection.bare.received, wire)  # type: ignore[attr-defined]

    def test_a_host_for_which_there_is_no_pool(self) -> None:
        rig = self.rig()
        client = secure(rig, "other.example")
        self.assertEqual(client.wire, UNRECOGNIZED_NAME)
        self.assertEqual(client.ending, "closed")
        self.assertIsInstance(client.problem, SSL.Error)
        self.assertEqual(rig.errors("unrecognized_name"), 1)
        self.assertEqual(rig.service.connections, 0)

    def test_what_is_no_tls(self) -> None:
        """T4"""
        rig = self.rig("third")
        peer = rig.connect()
        assert peer is not None
        peer.near.arrive(GET)
        rig.reactor.turn()
        self.assertEqual(peer.ending, "reset")
        self.assertEqual(rig.errors("not_tls"), 1)

    def test_has_a_deadline(self) -> None:
        """L3"""
        rig = self.rig(header_timeout_s=2.0)
        peer = rig.connect()
        assert peer is not None
        for byte in real()[:5]:
            peer.near.arrive(bytes([byte]))
            rig.wait(0.5)
        self.assertEqual(peer.ending, "reset")
        self.assertEqual(rig.errors("timeout"), 1)
        self.assertEqual(rig.reactor.descriptors, 0)

    def test_after_a_proxy_header(self) -> None:
        rig = self.rig(proxy_protocol=True)
        peer = rig.connect()
        assert peer is not None
        peer.near.arrive(b"PROXY TCP4 192.0.2.9 203.0.113.5 40001 443\r\n" + real(b"a.example"))
        rig.reactor.turn()
        [connection] = rig.backends[0].connections
        connection.bare.close()  # type: ignore[attr-defined]
        peer.near.finish()
        rig.reactor.turn()
        entry = rig.entry()
        self.assertEqual((entry["client_ip"], entry["peer_ip"]), ("192.0.2.9", "198.51.100.7"))
        self.assertEqual(entry["tls"]["sni"], "a.example")
        self.assertEqual(entry["pool"], "first")

    def test_a_pool_that_is_not_there_refuses_the_snapshot(self) -> None:
        rig = self.rig()
        [listener] = rig.snapshot.listeners
        with self.assertRaises(ValueError):
            rig.change(listeners=(replace(listener, sni=(SniRoute("a.example", "none"),)),))
