"""TLS towards backends."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.authority import CLIENT_ONLY, Authority, Issued, authority, issued
from tests.support.edge import GET, OK, Client, Rig
from tests.support.secure import BackendsOverTls, SecureBackend
from veloflux.core.model.address import Address
from veloflux.core.model.tls import BackendTls, Document
from veloflux.core.model.traffic import Backend, Pool, Timeouts
from veloflux.edge.trust import Trusts

CA = Document("/ca.pem", authority().pem)


class TrustTestCase(BackendsOverTls, SynchronousTestCase):
    def rig(self, host: str = "10.0.0.1", pool: dict[str, Any] | None = None, **tls: Any) -> Rig:
        self.address = Address(host, 80)
        model = Backend(self.address, tls=BackendTls(**{"ca": CA, **tls}))
        return Rig(self, pools=(Pool("app", (model,), **(pool or {})),))

    def backend(self, rig: Rig) -> SecureBackend:
        backend = rig.backend
        assert isinstance(backend, SecureBackend)
        return backend

    def ask(self, rig: Rig) -> Client:
        client = rig.client()
        client.send(GET)
        return client


class Verification(TrustTestCase):
    """T5"""

    def refused(self, rig: Rig, reason: str = "tls_untrusted") -> None:
        client = self.ask(rig)
        self.assertEqual(client.answer().status, 502)
        entry = rig.entry()
        self.assertEqual((entry["error"], entry["termination"]), (reason, "SC"))
        for connection in rig.backend.connections:
            self.assertIsNotNone(connection.ending)
            self.assertEqual(connection.received, b"")
        self.assertEqual(rig.inflight, 0)

    def test_a_good_one(self) -> None:
        rig = self.rig()
        client = self.ask(rig)
        self.assertEqual(rig.backend.request().method, b"GET")
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)
        client.send(GET)
        rig.backend.request()
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)
        self.assertEqual(len(rig.backend.connections), 1)

    def test_what_is_not_to_be_trusted(self) -> None:
        for shown in (
            issued("10.0.0.2"),
            issued("example.org"),
            authority().issue("10.0.0.1", days=-2),
            authority().issue("10.0.0.1", usage=CLIENT_ONLY),
            Authority("Others").issue("10.0.0.1"),
            authority().issue(subject="10.0.0.1"),
        ):
            rig = self.rig()
            self.backend(rig).show(shown)
            self.refused(rig)

    def test_a_name_of_its_own(self) -> None:
        rig = self.rig(server_name="app.internal")
        self.refused(rig)
        rig = self.rig(server_name="app.internal")
        backend = self.backend(rig)
        backend.show(issued("app.internal"))
        client = self.ask(rig)
        rig.backend.request()
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)
        self.assertEqual(backend.connections[0].tls.get_servername(), b"app.internal")  # type: ignore[attr-defined]

    def test_an_address_is_no_server_name(self) -> None:
        """RFC 6066 section 3"""
        rig = self.rig()
        self.ask(rig)
        [connection] = self.backend(rig).connections
        self.assertIsNone(connection.tls.get_servername())  # type: ignore[attr-defined]

    def test_none_when_nobody_wants_it(self) -> None:
        rig = self.rig(ca=None, insecure_skip_verify=True)
        self.backend(rig).show(Authority("Others").issue("elsewhere.example"))
        client = self.ask(rig)
        rig.backend.request()
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)

    def test_the_systems_authorities_do_not_know_ours(self) -> None:
        self.refused(self.rig(ca=None))

    def test_what_speaks_no_tls(self) -> None:
        class Plain(SecureBackend):
            def _accept(self, connector: Any) -> None:
                super(SecureBackend, self)._accept(connector)
                connector.socket.peer.near.arrive(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        self.backend_of = Plain
        rig = self.rig()
        client = self.ask(rig)
        self.assertEqual(client.answer().status, 502)
        self.assertEqual(rig.entry()["error"], "tls")

    def test_another_backend_is_tried(self) -> None:
        models = tuple(Backend(Address(f"10.0.0.{n}", 80), tls=BackendTls(ca=CA)) for n in (1, 2))
        rig = Rig(self, backends=2, pools=(Pool("app", models),))
        first, second = rig.backends
        assert isinstance(first, SecureBackend)
        first.show(issued("elsewhere.example"))
        for _ in range(2):
            client = self.ask(rig)
            second.request()
            second.answer(OK)
            self.assertEqual(client.answer().status, 200)

    def test_a_changed_trust_is_for_kept_connections_too(self) -> None:
        rig = self.rig(insecure_skip_verify=True)
        self.backend(rig).show(issued("elsewhere.example"))
        client = self.ask(rig)
        rig.backend.request()
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)
        model = Backend(self.address, tls=BackendTls(ca=CA))
        rig.change(pools=(Pool("app", (model,)),))
        self.assertIsNotNone(rig.backend.connections[0].ending)
        client.send(GET)
        self.assertEqual(client.answer().status, 502)

    def test_files_that_openssl_refuses_refuse_the_snapshot(self) -> None:
        rig = self.rig()
        one, other = issued("a").model, issued("b").model
        model = Backend(self.address, tls=BackendTls(cert=one.cert, key=other.key))
        with self.assertRaises(ValueError) as caught:
            rig.change(pools=(Pool("app", (model,)),))
        self.assertIn("mismatch", str(caught.exception))


class Connections(TrustTestCase):
    def test_our_own_certificate_is_shown(self) -> None:
        clients = Authority("Clients")
        own = clients.issue(subject="veloflux").model
        for tls, status in (({"cert": own.cert, "key": own.key}, 200), ({}, 502)):
            rig = self.rig(**tls)
            self.backend(rig).show(issued("10.0.0.1"), clients)
            client = self.ask(rig)
            if status == 200:
                rig.backend.request()
                rig.backend.answer(OK)
            else:
                [connection] = rig.backend.connections
                self.assertEqual(connection.received, b"")
                connection.step()  # type: ignore[attr-defined]
                connection.close()
                for _ in range(3):
                    # It asks again: in TLS 1.3 the refusal comes after the request.
                    for each in rig.backend.connections:
                        if each.ending is None:
                            self.assertEqual(each.received, b"")
                            each.close()
                    rig.wait(1.0)
            self.assertEqual(client.answer().status, status)

    def test_a_handshake_has_the_deadline_of_connecting(self) -> None:
        class Silent(SecureBackend):
            def _accept(self, connector: Any) -> None:
                super(SecureBackend, self)._accept(connector)

        self.backend_of = Silent
        rig = self.rig(pool={"timeouts": Timeouts(connect_s=1.0)})
        client = self.ask(rig)
        rig.wait(1.5)
        self.assertEqual(client.answer().status, 504)
        self.assertEqual(rig.entry()["error"], "connect_timeout")
        self.assertEqual({each.ending for each in rig.backend.connections}, {"reset"})
        self.assertEqual([call for call in rig.reactor.calls if call.time > 1e6], [])

    def test_a_proxy_header_goes_before_tls(self) -> None:
        class Prefaced(SecureBackend):
            preface = b"PROXY TCP4 198.51.100.7 127.0.0.1 40000 80\r\n"

        self.backend_of = Prefaced
        for protocol in ("http", "tcp"):
            self.listener_fields = {} if protocol == "http" else {"protocol": "tcp", "pool": "app"}
            rig = self.rig(pool={"proxy_protocol": "v1"})
            client = self.ask(rig)
            [connection] = rig.backend.connections
            self.assertTrue(connection.bare.received.startswith(Prefaced.preface))  # type: ignore[attr-defined]
            self.assertTrue(connection.received.startswith(b"GET "), connection.received)
            connection.send(OK)
            self.assertIn(b"200 OK", client.received)

    def test_a_body_that_is_torn_is_not_passed_on_as_whole(self) -> None:
        """A TLS connection that ends without a goodbye has not said all."""
        rig = self.rig()
        client = rig.client()
        client.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        rig.backend.request()
        rig.backend.answer(b"HTTP/1.1 200 OK\r\n\r\nhalf of")
        rig.backend.connection.bare.close()  # type: ignore[attr-defined]
        self.assertEqual(client.ending, "reset")

    def test_a_body_that_ends_with_a_goodbye_is_whole(self) -> None:
        rig = self.rig()
        client = self.ask(rig)
        rig.backend.request()
        rig.backend.answer(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        rig.backend.connection.close()
        self.assertEqual(client.answer().body, b"all of it")
        self.assertEqual(rig.entry()["termination"], "--")

    def test_a_client_that_leaves_in_the_handshake_leaves_nothing(self) -> None:
        class Silent(SecureBackend):
            def _accept(self, connector: Any) -> None:
                super(SecureBackend, self)._accept(connector)

        self.backend_of = Silent
        rig = self.rig(pool={"timeouts": Timeouts(connect_s=1.0)})
        client = self.ask(rig)
        client.close()
        rig.wait(1.5)
        self.assertEqual(rig.reactor.descriptors, 0)
        self.assertEqual(rig.inflight, 0)


class Shared(SynchronousTestCase):
    def test_backends_that_differ_in_their_names_share_a_context(self) -> None:
        trusts = Trusts()
        shown: list[Issued] = [issued("a"), issued("b")]
        for name in ("a", "b"):
            trusts.of(BackendTls(ca=CA, server_name=name), Address("10.0.0.1", 1))
        self.assertEqual(len(trusts._contexts), 1)
        trusts.retain([(BackendTls(ca=CA, server_name="c"), "http1")])
        self.assertEqual(len(trusts._contexts), 1)
        trusts.retain([(None, "http1")])
        self.assertEqual(trusts._contexts, {})
        self.assertEqual(len(shown), 2)
