"""TLS towards clients."""

import ssl
import sys
from collections import deque
from dataclasses import replace
from typing import Any

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from tests.support.authority import SERVER_ONLY, Authority, Issued, authority, issued
from tests.support.edge import GET, OK, UPLOAD, Rig, get, ok
from tests.support.secure import SecureClient, client_context, secure
from veloflux.core.model.tls import Document, ListenerTls
from veloflux.edge import handshake, openssl
from veloflux.edge.terms import Terms, forgive_names


def tls(*certificates: Issued, **fields: Any) -> ListenerTls:
    found = certificates or (issued("example.org"),)
    return ListenerTls(tuple(each.model for each in found), **fields)


def about_to_speak(case: SynchronousTestCase, rig: Rig) -> SecureClient:
    """A client whose last word of the handshake goes with whatever it says first."""
    peer = rig.connect()
    assert peer is not None
    connection = SSL.Connection(client_context(), None)
    connection.set_connect_state()
    client = SecureClient(rig.reactor, peer, connection)
    with case.assertRaises(SSL.WantReadError):
        connection.do_handshake()
    client._say()
    client._listen()
    connection.do_handshake()
    return client


class TlsTestCase(SynchronousTestCase):
    def rig(self, *certificates: Issued, **fields: Any) -> Rig:
        limits = fields.pop("limits", None)
        listener = fields.pop("listener", {})
        return Rig(self, limits=limits, listener={"tls": tls(*certificates, **fields), **listener})

    def tcp_rig(self, **fields: Any) -> Rig:
        return self.rig(listener={"protocol": "tcp", "pool": "app"}, **fields)


class Termination(TlsTestCase):
    def test_a_request_and_its_answer(self) -> None:
        rig = self.rig()
        client = secure(rig)
        for _ in range(3):
            client.send(GET)
            request = rig.backend.request()
            self.assertEqual(request.field(b"x-forwarded-proto"), b"https")
            self.assertIn(b"proto=https", request.field(b"forwarded") or b"")
            rig.backend.answer(OK)
            self.assertEqual(client.answer().status, 200)
        entry = rig.entries(3)[0]
        self.assertEqual(entry["scheme"], "https")
        self.assertEqual(entry["tls"]["version"], "TLSv1.3")
        self.assertEqual(entry["tls"]["sni"], "example.org")
        self.assertIn("AES", entry["tls"]["cipher"])

    def test_nothing_of_it_on_the_wire(self) -> None:
        rig = self.rig()
        client = secure(rig)
        client.send(GET)
        rig.backend.request()
        rig.backend.answer(ok(b"a secret body"))
        self.assertEqual(client.answer().body, b"a secret body")
        self.assertNotIn(b"secret", client.wire)

    def test_in_single_bytes(self) -> None:
        rig = self.rig()
        client = secure(rig)
        client.tls.send(GET)
        for byte in client.tls.bio_read(1 << 16):
            client.send_raw(bytes([byte]))
        rig.backend.request()
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)

    def test_requests_in_one_read_with_the_handshakes_end(self) -> None:
        rig = self.rig()
        client = about_to_speak(self, rig)
        client.send(GET)
        rig.backend.request()
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)

    def test_large_bodies_both_ways(self) -> None:
        rig = self.rig()
        body = bytes(range(256)) * 4096
        client = secure(rig)
        client.send(
            b"POST / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 1048576\r\n\r\n" + body
        )
        self.assertEqual(rig.backend.request().body, body)
        rig.backend.answer(ok(body))
        self.assertEqual(client.answer().body, body)

    def test_tls_1_2(self) -> None:
        rig = self.rig()
        context = client_context()
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        client = secure(rig, context=context)
        client.send(GET)
        rig.backend.request()
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)
        agreed = rig.entry()["tls"]
        self.assertEqual(agreed["version"], "TLSv1.2")
        self.assertIn("ECDHE", agreed["cipher"])

    def test_a_relayed_connection(self) -> None:
        rig = self.tcp_rig()
        client = secure(rig, alpn=[b"http/1.1"])
        self.assertEqual(client.tls.get_alpn_proto_negotiated(), b"")
        client.send(b"ping")
        self.assertEqual(rig.backend.received, b"ping")
        rig.backend.connection.send(b"pong")
        self.assertEqual(client.received, b"pong")
        client.finish()
        self.assertEqual(rig.backend.connection.ending, "finished")
        rig.backend.connection.send(b" and on")
        self.assertEqual(client.received, b"pong and on")
        rig.backend.connection.close()
        self.assertEqual(client.received, b"pong and on")
        self.assertTrue(client.has_heard_goodbye)
        self.assertEqual(client.ending, "closed")
        self.assertEqual(rig.entry()["termination"], "--")

    def test_a_client_that_is_through_with_the_handshakes_end(self) -> None:
        """Before there is a backend, which has to hear of it all the same."""
        rig = self.tcp_rig()
        client = about_to_speak(self, rig)
        client.queue(b"all of it")
        client.finish()
        self.assertEqual(rig.backend.received, b"all of it")
        self.assertEqual(rig.backend.connection.ending, "finished")
        rig.backend.answer(b"an answer")
        self.assertEqual(client.received, b"an answer")

    def test_after_a_proxy_header(self) -> None:
        rig = self.rig(listener={"proxy_protocol": True})
        peer = rig.connect()
        assert peer is not None
        connection = SSL.Connection(client_context(), None)
        connection.set_connect_state()
        client = SecureClient(rig.reactor, peer, connection)
        client.send_raw(b"PROXY TCP4 192.0.2.9 203.0.113.5 40001 443\r\n")
        client.shake()
        client.send(GET)
        self.assertEqual(rig.backend.request().field(b"x-forwarded-for"), b"192.0.2.9")
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)
        entry = rig.entry()
        self.assertEqual((entry["client_ip"], entry["peer_ip"]), ("192.0.2.9", "198.51.100.7"))


class Ends(TlsTestCase):
    def test_with_a_goodbye_where_all_is_said(self) -> None:
        rig = self.rig()
        client = secure(rig)
        client.send(get(lines=b"Connection: close\r\n"))
        rig.backend.request()
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)
        self.assertTrue(client.has_heard_goodbye)
        self.assertEqual(client.ending, "closed")

    def test_without_one_where_an_answer_is_cut(self) -> None:
        """A body that only the end delimits must not look whole."""
        rig = self.rig()
        client = secure(rig)
        client.send(b"GET / HTTP/1.0\r\nHost: example.org\r\n\r\n")
        rig.backend.request()
        rig.backend.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        rig.backend.connection.reset()
        self.assertIn(b"hello", client.received)
        self.assertFalse(client.has_heard_goodbye)
        self.assertEqual(client.ending, "reset")

    def test_a_client_that_says_goodbye_is_gone(self) -> None:
        rig = self.rig()
        client = secure(rig)
        client.close()
        self.assertEqual(client.ending, "closed")
        self.assertEqual(rig.reactor.descriptors, 0)

    def test_a_client_that_leaves_without_a_word(self) -> None:
        rig = self.rig()
        client = secure(rig)
        client.send(GET)
        rig.backend.request()
        client.bare.close()
        self.assertEqual(rig.entry()["termination"], "CH")
        self.assertEqual(rig.reactor.descriptors, 0)

    def test_what_is_no_tls_after_the_handshake(self) -> None:
        rig = self.rig()
        client = secure(rig)
        client.send_raw(b"\x17\x03\x03\x00\x20" + bytes(32))
        self.assertEqual(client.ending, "reset")
        self.assertEqual(rig.errors("handshake"), 1)
        self.assertEqual(rig.gauge("veloflux_connections", "web"), 0)

    def test_an_upload_that_is_torn_is_not_passed_on_as_whole(self) -> None:
        rig = self.rig()
        client = secure(rig)
        client.send(UPLOAD + b"5\r\nhello\r\n")
        client.bare.close()
        self.assertEqual(rig.backend.connection.ending, "reset")


class Handshakes(TlsTestCase):
    """T3, T4, L3"""

    def test_has_a_deadline(self) -> None:
        """L3: whether it says nothing, or a byte now and then."""
        rig = self.rig(limits={"header_timeout_s": 2.0})
        silent = rig.connect()
        slow = rig.connect()
        assert silent is not None
        assert slow is not None
        for byte in b"\x16\x03\x01\x02":
            slow.near.arrive(bytes([byte]))
            rig.wait(0.6)
        self.assertEqual((silent.ending, slow.ending), ("reset", "reset"))
        self.assertEqual(rig.errors("timeout"), 1)
        self.assertEqual(rig.reactor.descriptors, 0)

    def test_the_oldest_makes_room_after_a_while(self) -> None:
        """T4"""
        self.patch(handshake, "MOST", 3)
        rig = self.rig()
        peers = [rig.connect() for _ in range(3)]
        self.assertIsNone(rig.try_client())
        self.assertEqual(rig.count("veloflux_connections_rejected_total", "handshakes"), 1)
        rig.wait(2.5)
        client = secure(rig)
        self.assertIsNone(client.problem)
        self.assertEqual([peer and peer.ending for peer in peers], ["reset", None, None])
        self.assertEqual(rig.errors("crowded"), 1)

    def test_counts_what_is_no_handshake(self) -> None:
        """T4"""
        for wire, kind in (
            (GET, "http_request"),
            (b"CONNECT a:443 HTTP/1.1\r\n\r\n", "http_request"),
            (b"\x00" * 64, "not_tls"),
            (b"\x16\x03\x01\xff\xff" + b"x" * 64, "not_tls"),
            (b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", "handshake"),
        ):
            rig = self.rig()
            peer = rig.connect()
            assert peer is not None
            peer.near.arrive(wire)
            rig.reactor.turn()
            self.assertEqual(peer.ending, "closed", wire)
            self.assertEqual(rig.errors(kind), 1, (wire, rig._counts))
            self.assertEqual(rig.reactor.descriptors, 0)

    def test_refuses_what_is_old(self) -> None:
        """T3"""
        context = client_context()
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        rig = self.rig(min_version="1.3")
        client = secure(rig, context=context)
        self.assertIsNotNone(client.problem)
        self.assertEqual(rig.errors("version"), 1)

    def test_refuses_ciphers_without_forward_secrecy(self) -> None:
        """T3"""
        context = client_context()
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        context.set_cipher_list(b"AES128-GCM-SHA256:AES256-SHA:ECDHE-ECDSA-AES128-SHA")
        rig = self.rig()
        client = secure(rig, context=context)
        self.assertIsNotNone(client.problem)
        self.assertEqual(rig.errors("cipher"), 1)

    def test_agrees_on_what_is_spoken(self) -> None:
        rig = self.rig()
        for offered, agreed in (
            ([b"http/1.1", b"h2"], b"h2"),
            ([b"http/1.1"], b"http/1.1"),
            ([b"spdy/1"], b""),
            ([], b""),
        ):
            client = secure(rig, alpn=offered)
            self.assertEqual(client.tls.get_alpn_proto_negotiated(), agreed)

    def test_a_first_message_in_very_many_records(self) -> None:
        """T4: it is put together, and bounded like any other"""
        rig = self.rig()
        peer = rig.connect()
        assert peer is not None
        client = SSL.Connection(client_context(), None)
        client.set_connect_state()
        with self.assertRaises(SSL.WantReadError):
            client.do_handshake()
        hello = client.bio_read(1 << 14)
        for byte in hello[5:]:
            peer.near.arrive(hello[:3] + b"\x00\x01" + bytes([byte]))
        rig.reactor.turn()
        self.assertIn(peer.received[:1], (b"\x16", b"\x15"))
        self.assertEqual(len(rig.backends[0].connections), 0)
        self.assertLess(len(peer.received), 8192)

    def test_a_first_message_that_is_too_long(self) -> None:
        """T4: sixteen megabytes are not waited for"""
        rig = self.rig()
        peer = rig.connect()
        assert peer is not None
        peer.near.arrive(b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes((1 << 14) - 4))
        rig.reactor.turn()
        self.assertEqual(peer.ending, "closed")
        self.assertEqual(rig.errors("handshake"), 1)

    def test_agrees_on_nothing_odd(self) -> None:
        """T4"""
        rig = self.rig()
        for offered in ([b"\xff" * 255] * 100, [b"H2"], [b"h2c"], [b"\x00"], [b"http/1.1 "]):
            client = secure(rig, alpn=offered)
            self.assertIsNone(client.problem)
            self.assertEqual(client.tls.get_alpn_proto_negotiated(), b"", offered)

    def test_the_other_version_of_http(self) -> None:
        """H9: what was agreed on is what is spoken"""
        rig = self.rig()
        client = secure(rig, alpn=[b"http/1.1"])
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.assertEqual(client.answer().status, 505)
        self.assertEqual(client.ending, "finished")
        client = secure(rig, alpn=[b"h2"])
        client.send(GET)
        self.assertEqual(client.ending, "finished")
        # GOAWAY, with PROTOCOL_ERROR.
        self.assertIn(b"\x07" + bytes(1 + 4 + 4) + b"\x00\x00\x00\x01", client.received)
        self.assertEqual(rig.backends[0].connections, [])

    def test_one_under_way_may_finish_while_the_worker_drains(self) -> None:
        rig = self.rig()
        late = rig.connect()
        assert late is not None
        rig.service.drain()
        rig.wait(0.5)
        self.assertIsNone(late.ending)
        rig.wait(1.0)
        self.assertEqual(late.ending, "reset")
        self.assertEqual(rig.service.connections, 0)


class Certificates(TlsTestCase):
    """T1"""

    def shown(self, client: SecureClient) -> Any:
        self.assertIsNone(client.problem)
        found = client.tls.get_peer_certificate(as_cryptography=True)
        assert found is not None
        return found

    def test_are_chosen_by_name(self) -> None:
        first, exact, wildcard = (
            issued("first.example"),
            issued("a.b.example", "c.example"),
            issued("*.b.example"),
        )
        rig = self.rig(first, wildcard, exact)
        for name, expected in (
            ("a.b.example", exact),
            ("A.B.Example", exact),
            ("c.example", exact),
            ("x.b.example", wildcard),
            ("x.y.b.example", first),
            ("b.example", first),
            ("unknown.example", first),
            (None, first),
            ("192.0.2.1", first),
            ("a" * 250, first),
        ):
            client = secure(rig, name)
            self.assertEqual(self.shown(client), expected.certificate, name)

    def test_a_name_that_cannot_be_one_is_refused(self) -> None:
        """T1: a NUL, or what is not ASCII"""
        said: list[object] = []
        self.addCleanup(setattr, sys, "unraisablehook", sys.unraisablehook)
        sys.unraisablehook = said.append
        forgive_names()
        for name, kind in (
            (b"a\0example", "handshake"),
            (b"a\xe9example", "server_name"),
            (b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7", "server_name"),
        ):
            rig = self.rig(issued("a.example"))
            peer = rig.connect()
            assert peer is not None
            client = SSL.Connection(client_context(), None)
            client.set_connect_state()
            client.set_tlsext_host_name(b"a.example")
            with self.assertRaises(SSL.WantReadError):
                client.do_handshake()
            peer.near.arrive(client.bio_read(1 << 14).replace(b"a.example", name))
            rig.reactor.turn()
            self.assertEqual(peer.ending, "closed", name)
            # An alert, and a fatal one.
            self.assertEqual(peer.received[:1] + peer.received[5:6], b"\x15\x02", name)
            self.assertEqual(rig.errors(kind), 1, name)
        self.assertEqual(said, [])

    def test_other_complaints_are_still_heard(self) -> None:
        said: list[Any] = []
        self.addCleanup(setattr, sys, "unraisablehook", sys.unraisablehook)
        sys.unraisablehook = said.append
        forgive_names()

        class Faulty:
            def __del__(self) -> None:
                raise ValueError("of no name")

        Faulty()
        self.assertIsInstance(said[0].exc_value, ValueError)

    def test_of_other_hosts_are_no_way_to_a_host(self) -> None:
        """T1: domain fronting"""
        rig = self.rig(issued("a.example"), issued("*.b.example"))
        for name, host, status in (
            ("a.example", b"a.example", 200),
            ("a.example", b"A.Example:8443", 200),
            ("a.example", b"x.b.example", 421),
            ("x.b.example", b"y.b.example", 200),
            ("x.b.example", b"a.example", 421),
            (None, b"a.example", 200),
            (None, b"192.0.2.1", 421),
        ):
            client = secure(rig, name)
            client.send(get(host=host))
            if status == 200:
                rig.backend.request()
                rig.backend.answer(OK)
            self.assertEqual(client.answer().status, status, (name, host))

    def test_a_misdirected_request_keeps_the_connection(self) -> None:
        rig = self.rig(issued("a.example"))
        client = secure(rig, "a.example")
        client.send(get(host=b"b.example"))
        self.assertEqual(client.answer().status, 421)
        client.send(get(host=b"a.example"))
        rig.backend.request()
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)

    def test_https_may_be_asked_for_by_name(self) -> None:
        """S20"""
        rig = self.rig(issued("a.example"))
        for host, status in ((b"a.example", 200), (b"b.example", 421)):
            client = secure(rig, "a.example")
            client.send(get(b"https://" + host + b"/", host=b"a.example"))
            if status == 200:
                rig.backend.request()
                rig.backend.answer(OK)
            self.assertEqual(client.answer().status, status)

    def test_for_an_address(self) -> None:
        rig = self.rig(issued("192.0.2.1", "2001:db8::1"))
        for host in (b"192.0.2.1", b"[2001:db8::1]"):
            client = secure(rig, None)
            client.send(get(host=host))
            rig.backend.request()
            rig.backend.answer(OK)
            self.assertEqual(client.answer().status, 200)

    def test_are_replaced_in_place(self) -> None:
        """X12: who is connected notices nothing."""
        old, new = authority().issue("example.org"), authority().issue("example.org")
        rig = self.rig(old)
        before = secure(rig)
        self.assertEqual(self.shown(before), old.certificate)
        [listener] = rig.snapshot.listeners
        rig.change(listeners=(replace(listener, tls=tls(new)),))
        self.assertEqual(self.shown(secure(rig)), new.certificate)
        before.send(GET)
        rig.backend.request()
        rig.backend.answer(OK)
        self.assertEqual(before.answer().status, 200)

    def test_that_openssl_refuses_refuse_the_snapshot(self) -> None:
        rig = self.rig()
        [listener] = rig.snapshot.listeners
        one, other = issued("example.org").model, issued("a.example").model
        mixed = ListenerTls((replace(one, key=other.key),))
        with self.assertRaises(ValueError) as caught:
            rig.change(listeners=(replace(listener, tls=mixed),))
        self.assertIn("key values mismatch", str(caught.exception))
        self.assertIsNone(secure(rig).problem)

    def test_never_show_a_key(self) -> None:
        model = issued("example.org").model
        self.assertNotIn("PRIVATE", repr(model))
        self.assertNotIn("BEGIN", repr(model))


class Sessions(TlsTestCase):
    """T2, T3"""

    def ask(self, rig: Rig, client: SecureClient) -> None:
        client.send(GET)
        rig.backend.request()
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)

    def test_are_resumed(self) -> None:
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            rig = self.rig()
            context = client_context()
            context.set_max_proto_version(version)
            first = secure(rig, context=context)
            self.ask(rig, first)
            again = secure(rig, context=context, session=first.tls.get_session())
            self.ask(rig, again)
            self.assertTrue(resumed(again), version)

    def session(self, rig: Rig, version: int = SSL.TLS1_3_VERSION, **shown: Any) -> Any:
        """One that a client began, and its context."""
        context = client_context(**shown)
        context.set_max_proto_version(version)
        client = secure(rig, context=context)
        self.ask(rig, client)
        # OpenSSL takes back what a connection began that was not closed.
        client.close()
        return {"context": context, "session": client.tls.get_session()}

    def is_resumed(self, rig: Rig, session: Any, **more: Any) -> bool:
        client = secure(rig, **session, **more)
        self.ask(rig, client)
        return resumed(client)

    def test_are_resumed_by_every_worker(self) -> None:
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            first, second, stranger = self.rig(), self.rig(), self.rig()
            for rig in (first, second):
                rig.service.share_tickets(b"a secret of all workers")
            stranger.service.share_tickets(b"another")
            session = self.session(first, version)
            self.assertTrue(self.is_resumed(second, session), version)
            self.assertFalse(self.is_resumed(stranger, session), version)

    def test_are_resumed_whichever_certificate_was_shown(self) -> None:
        certificates = issued("example.org"), issued("b.example")
        first, second = self.rig(*certificates), self.rig(*certificates)
        for rig in (first, second):
            rig.service.share_tickets(b"a secret of all workers")
        context = client_context()
        client = secure(first, "b.example", context=context)
        client.send(get(host=b"b.example"))
        first.backend.request()
        first.backend.answer(OK)
        client.answer()
        again = secure(second, "b.example", context=context, session=client.tls.get_session())
        self.assertEqual(again.received, b"")
        self.assertTrue(resumed(again))
        again.send(get(host=b"example.org"))
        self.assertEqual(again.answer().status, 421)

    def test_are_resumed_after_a_change_that_is_none_to_them(self) -> None:
        rig = self.rig()
        rig.service.share_tickets(b"a secret of all workers")
        session = self.session(rig)
        [listener] = rig.snapshot.listeners
        assert listener.tls is not None
        rig.change(listeners=(replace(listener, tls=replace(listener.tls, alpn=("http/1.1",))),))
        self.assertTrue(self.is_resumed(rig, session))

    def test_are_not_resumed_by_old_keys(self) -> None:
        for secret in (b"a secret of all workers", b""):
            rig = self.rig()
            rig.service.share_tickets(secret)
            session = self.session(rig)
            self.assertTrue(self.is_resumed(rig, session))
            rig.service.share_tickets(b"the next")
            self.assertFalse(self.is_resumed(rig, session))

    def test_are_not_taken_past_another_policy(self) -> None:
        """T2: by a worker with the same secret, in the name of another listener, by another
        certificate, or where clients must show one"""
        renamed = self.rig()
        [listener] = renamed.snapshot.listeners
        renamed.change(listeners=(replace(listener, name="other"),))
        others = (
            renamed,
            self.rig(authority().issue("example.org")),
            self.rig(client_ca=Document("/ca.pem", authority().pem)),
        )
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            rig = self.rig()
            rig.service.share_tickets(b"a secret of all workers")
            session = self.session(rig, version, shown=issued("client"))
            self.assertTrue(self.is_resumed(rig, session))
            for other in others:
                other.service.share_tickets(b"a secret of all workers")
                self.assertFalse(self.is_resumed(other, session), version)

    def test_without_a_certificate_do_not_pass_where_one_is_asked_for(self) -> None:
        """T2: what nginx 1.27.4 mended"""
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            rig = self.rig()
            [listener] = rig.snapshot.listeners
            assert listener.tls is not None
            rig.service.share_tickets(b"a secret of all workers")
            session = self.session(rig, version)
            policy = replace(listener.tls, client_ca=Document("/ca.pem", authority().pem))
            rig.change(listeners=(replace(listener, tls=policy),))
            client = secure(rig, **session)
            client.shake()
            self.assertEqual(client.received, b"")
            self.assertEqual(rig.errors("no_client_certificate"), 1, version)
            self.assertEqual(client.ending, "closed")

    def test_are_not_taken_to_another_listener(self) -> None:
        """T2"""
        rig = self.rig()
        [listener] = rig.snapshot.listeners
        other = replace(listener, name="other", address=replace(listener.address, port=8081))
        rig.change(listeners=(listener, other))
        context = client_context()
        first = secure(rig, context=context)
        self.ask(rig, first)
        again = secure(rig, context=context, session=first.tls.get_session(), port=1)
        self.ask(rig, again)
        self.assertFalse(resumed(again))

    def test_are_not_resumed_where_certificates_are_asked_for(self) -> None:
        """T2: each connection shows its certificate."""
        rig = self.rig(client_ca=Document("/ca.pem", authority().pem))
        context = client_context(shown=issued("client"))
        first = secure(rig, context=context)
        self.ask(rig, first)
        again = secure(rig, context=context, session=first.tls.get_session())
        self.ask(rig, again)
        self.assertFalse(resumed(again))

    def test_of_tls_1_2_are_not_kept_for_a_certificate(self) -> None:
        """T2: neither by a ticket nor by a session's id"""
        rig = self.rig(client_ca=Document("/ca.pem", authority().pem))
        context = client_context(shown=issued("client"))
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        first = secure(rig, context=context)
        self.ask(rig, first)
        again = secure(rig, context=context, session=first.tls.get_session())
        self.ask(rig, again)
        self.assertFalse(resumed(again))

    def test_that_cannot_be_turned_off_are_not_spoken(self) -> None:
        """T2: where OpenSSL is out of reach"""
        model = tls(client_ca=Document("/ca.pem", authority().pem))
        context = self.unreachable(model).context
        self.assertIs(context.minimum_version, ssl.TLSVersion.TLSv1_3)
        self.assertEqual(context.num_tickets, 0)
        context = self.unreachable(tls()).context
        self.assertIs(context.minimum_version, ssl.TLSVersion.TLSv1_2)

    def test_have_new_keys_even_where_they_are_a_workers_own(self) -> None:
        terms = self.unreachable(tls())
        before = openssl.of(terms.context)
        terms.share_tickets(b"not used")
        after = openssl.of(terms.context)
        assert before is not None
        assert after is not None
        self.assertNotEqual(before.ticket_key, after.ticket_key)

    def unreachable(self, model: ListenerTls) -> Terms:
        terms = Terms(model, "web", is_http=True, reach=lambda _: None)
        deque(terms.build(), maxlen=0)
        return terms

    def test_allow_no_early_data(self) -> None:
        """T3: a request that anybody could send again"""
        from cryptography.hazmat.bindings.openssl.binding import Binding

        session = self.session(self.rig())["session"]
        self.assertEqual(Binding.lib.SSL_SESSION_get_max_early_data(session._session), 0)

    def test_are_kept_when_nothing_is_different(self) -> None:
        rig = self.rig()
        context = client_context()
        first = secure(rig, context=context)
        self.ask(rig, first)
        rig.change(tracing=True)
        again = secure(rig, context=context, session=first.tls.get_session())
        self.ask(rig, again)
        self.assertTrue(resumed(again))


def resumed(client: SecureClient) -> bool:
    from cryptography.hazmat.bindings.openssl.binding import Binding

    return bool(Binding.lib.SSL_session_reused(client.tls._ssl))


class ClientCertificates(TlsTestCase):
    """T2, S27"""

    def setUp(self) -> None:
        self.clients = Authority("Clients")

    def secret_rig(self, **fields: Any) -> Rig:
        return self.rig(client_ca=Document("/ca.pem", self.clients.pem), **fields)

    def test_the_subject_is_passed_on(self) -> None:
        rig = self.secret_rig()
        shown = self.clients.issue(subject="alice")
        client = secure(rig, context=client_context(shown=shown))
        client.send(get(lines=b'X-Forwarded-Client-Cert: Subject="CN=mallory"\r\n'))
        value = rig.backend.request().field(b"x-forwarded-client-cert") or b""
        self.assertIn(b'Subject="CN=alice"', value)
        self.assertNotIn(b"mallory", value)

    def test_cannot_be_forged(self) -> None:
        """S27: by whomever, and however it is written"""
        for name in (b"X-Forwarded-Client-Cert", b"x_forwarded_client_cert"):
            rig = self.rig()
            client = secure(rig)
            client.send(get(lines=name + b': Subject="CN=root"\r\n'))
            self.assertNotIn(b"root", rig.backend.received)

    def test_a_trusted_proxy_that_shows_its_own_has_no_word_on_others(self) -> None:
        rig = self.secret_rig(listener={"trusted_proxies": ("198.51.100.7",)})
        client = secure(rig, context=client_context(shown=self.clients.issue(subject="proxy")))
        client.send(get(lines=b'X-Forwarded-Client-Cert: Subject="CN=mallory"\r\n'))
        request = rig.backend.request()
        self.assertIn(b"CN=proxy", request.field(b"x-forwarded-client-cert") or b"")
        self.assertNotIn(b"mallory", rig.backend.received)

    def test_a_subject_cannot_end_its_line(self) -> None:
        """S26"""
        rig = self.secret_rig()
        shown = self.clients.issue(subject='a"\r\nX-Admin: 1\r\n;Subject="b\u00e9')
        client = secure(rig, context=client_context(shown=shown))
        client.send(GET)
        request = rig.backend.request()
        self.assertIsNone(request.field(b"x-admin"))
        value = request.field(b"x-forwarded-client-cert") or b""
        self.assertEqual(value.count(b'"'), 2)
        self.assertEqual(value.count(b";"), 1)

    def test_are_asked_for_by_their_authorities(self) -> None:
        rig = self.secret_rig()
        client = secure(rig, context=client_context(shown=self.clients.issue(subject="alice")))
        [asked] = client.tls.get_client_ca_list()
        self.assertEqual(asked.commonName, "Clients")

    def refused(self, rig: Rig, context: SSL.Context, kind: str) -> None:
        client = secure(rig, context=context)
        client.shake()
        self.assertEqual(client.received, b"")
        self.assertEqual(rig.errors(kind), 1, rig._counts)
        self.assertEqual(client.ending, "closed")

    def test_a_chain_has_an_end(self) -> None:
        """T2: so many authorities, and no more, stand between one and those believed"""
        chain = [self.clients]
        for number in range(100):
            chain.append(Authority(f"below {number}", above=chain[-1]))
        for length, is_good in ((1, True), (8, True), (10, False), (100, False)):
            rig = self.secret_rig()
            shown = chain[length].issue(subject="alice")
            context = client_context(shown=shown, chain=chain[length:0:-1])
            if not is_good:
                self.refused(rig, context, "client_certificate")
                continue
            client = secure(rig, context=context)
            client.send(GET)
            self.assertIn(b"CN=alice", rig.backend.request().field(b"x-forwarded-client-cert"))

    def test_a_chain_has_a_size(self) -> None:
        """T2: a megabyte of certificates is read by nobody"""
        rig = self.secret_rig()
        chain = [Authority("padding")] * 2500
        context = client_context(shown=self.clients.issue(subject="a"), chain=chain)
        self.refused(rig, context, "handshake")
        self.assertEqual(rig.reactor.descriptors, 0)

    def test_an_authority_has_its_names(self) -> None:
        """T2: a name that it must not sign for"""
        below = Authority("below", above=self.clients, permitted="example.org")
        for name, is_good in (("a.example.org", True), ("example.com", False)):
            rig = self.secret_rig()
            context = client_context(shown=below.issue(name), chain=[below])
            if is_good:
                self.assertIsNone(secure(rig, context=context).problem)
            else:
                self.refused(rig, context, "client_certificate")

    def test_bad_ones_are_refused(self) -> None:
        """T2"""
        for shown, kind in (
            (None, "no_client_certificate"),
            (Authority("Others").issue(subject="a"), "client_certificate"),
            (self.clients.issue(subject="a", days=-2), "client_certificate"),
            (self.clients.issue(subject="a", usage=SERVER_ONLY), "client_certificate"),
        ):
            rig = self.secret_rig()
            client = secure(rig, context=client_context(shown=shown))
            client.shake()
            self.assertEqual(client.received, b"")
            self.assertIsNotNone(client.problem, kind)
            self.assertEqual(rig.errors(kind), 1, rig._counts)
            self.assertEqual(client.ending, "closed")
