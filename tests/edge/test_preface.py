import struct
from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import GET, OK, UPLOAD, Rig, get, variant
from veloflux.core.model.resilience import Retries
from veloflux.core.wire.preface import SIGNATURE

V1 = b"PROXY TCP4 192.0.2.9 203.0.113.5 40001 443\r\n"
_BLOCK = bytes([192, 0, 2, 9, 203, 0, 113, 5]) + struct.pack("!HH", 40001, 443)
V2 = SIGNATURE + b"\x21\x11" + len(_BLOCK).to_bytes(2) + _BLOCK
LOCAL = SIGNATURE + b"\x20\0\0\0"
SENDER = "10.9.9.9"
UPGRADE = get(
    lines=b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


class IncomingTests(SynchronousTestCase):
    def rig(self, limits: dict[str, Any] | None = None, **listener: Any) -> Rig:
        return Rig(self, limits=limits, listener={"proxy_protocol": True, **listener})

    def tcp_rig(self, **listener: Any) -> Rig:
        return self.rig(protocol="tcp", pool="app", **listener)

    def test_the_client_is_who_the_header_names(self) -> None:
        for wire in (V1, V2):
            rig = self.rig()
            client = rig.client(SENDER)
            client.send(wire + GET)
            request = rig.backend.request()
            self.assertEqual(request.field(b"x-forwarded-for"), b"192.0.2.9")
            rig.backend.answer(OK)
            self.assertEqual(client.answer().status, 200)
            entry = rig.entry()
            self.assertEqual((entry["client_ip"], entry["peer_ip"]), ("192.0.2.9", SENDER))

    def test_a_header_in_pieces(self) -> None:
        rig = self.rig()
        client = rig.client(SENDER)
        for byte in V2 + GET:
            client.send(bytes([byte]))
        self.assertEqual(rig.backend.request().field(b"x-forwarded-for"), b"192.0.2.9")

    def test_a_header_that_names_nobody_keeps_the_peer(self) -> None:
        for wire in (b"PROXY UNKNOWN\r\n", LOCAL):
            rig = self.rig()
            rig.client(SENDER).send(wire + GET)
            self.assertEqual(rig.backend.request().field(b"x-forwarded-for"), SENDER.encode())

    def test_the_named_clients_own_word_is_not_believed(self) -> None:
        """S27: it is the sender who is trusted, and it did not write the fields."""
        rig = self.rig(trusted_proxies=(SENDER,))
        rig.client(SENDER).send(V1 + get(lines=b"X-Forwarded-For: 1.2.3.4\r\n"))
        self.assertEqual(rig.backend.request().field(b"x-forwarded-for"), b"192.0.2.9")

    def test_what_begins_without_a_header_is_closed_at_once(self) -> None:
        for name, wire in (
            ("none", GET),
            ("bad", b"PROXY TCP4 1.2.3.4\r\n"),
            ("TLS", b"\x16\x03\x01"),
            ("other version", SIGNATURE + b"\x31"),
        ):
            with variant(name):
                rig = self.rig()
                client = rig.client(SENDER)
                client.send(wire)
                self.assertEqual((client.ending, client.received), ("reset", b""))
                self.assertEqual(rig.errors("proxy"), 1)
                self.assertEqual(rig.backend.connections, [])
                self.assertEqual(rig.gauge("veloflux_connections", "downstream"), 0)

    def test_the_header_has_a_deadline(self) -> None:
        rig = self.rig({"header_timeout_s": 2.0})
        client = rig.client(SENDER)
        client.send(V1[:-1])
        rig.wait(1.5)
        self.assertIsNone(client.ending)
        rig.wait(1.0)
        self.assertEqual(client.ending, "reset")
        self.assertEqual(rig.errors("timeout"), 1)

    def test_a_header_that_is_cut_off_is_counted(self) -> None:
        rig = self.rig()
        rig.client(SENDER).close()
        self.assertEqual(rig.errors("proxy"), 0)
        client = rig.client(SENDER)
        client.send(V1[:9])
        client.close()
        self.assertEqual(rig.errors("truncated"), 1)
        self.assertEqual(rig.gauge("veloflux_connections", "downstream"), 0)

    def test_only_trusted_peers_may_send_one(self) -> None:
        """S27: where trusted peers are named at all."""
        rig = self.rig(trusted_proxies=("10.9.0.0/16",))
        self.assertIsNone(rig.try_client("198.51.100.7"))
        self.assertEqual(rig.count("veloflux_connections_rejected_total", "untrusted"), 1)
        rig.client("::ffff:10.9.1.1").send(V1 + GET)
        self.assertEqual(rig.backend.request().field(b"x-forwarded-for"), b"192.0.2.9")

    def test_clients_count_by_who_they_are(self) -> None:
        """Not by the proxy that all of them come through."""
        rig = self.rig({"max_connections_per_ip": 1})
        first, second, third = (rig.client(SENDER) for _ in range(3))
        first.send(V1 + GET)
        second.send(V1 + GET)
        third.send(V1.replace(b"192.0.2.9", b"192.0.2.8") + GET)
        self.assertEqual((first.ending, second.ending, third.ending), (None, "reset", None))
        reason = "max_connections_per_ip"
        self.assertEqual(rig.count("veloflux_connections_rejected_total", reason), 1)
        first.close()
        rig.client(SENDER).send(V1 + GET)
        self.assertEqual(rig.gauge("veloflux_connections", "downstream"), 2)

    def test_a_peer_that_speaks_for_itself_is_counted_once(self) -> None:
        rig = self.rig({"max_connections_per_ip": 1})
        client = rig.client(SENDER)
        client.send(LOCAL + GET)
        rig.backend.connection.send(OK)
        self.assertEqual(client.answer().status, 200)

    def test_the_rest_reaches_a_tcp_backend_whole(self) -> None:
        for early in (b"", b"hello "):
            rig = self.tcp_rig()
            client = rig.client(SENDER)
            client.send(V2 + early)
            client.send(b"world")
            self.assertEqual(rig.backend.received, early + b"world")
            rig.backend.connection.send(b"yes")
            self.assertEqual(client.received, b"yes")
            client.close()
            rig.backend.connection.close()
            entry = rig.entry()
            self.assertEqual((entry["client_ip"], entry["peer_ip"]), ("192.0.2.9", SENDER))
            self.assertEqual(entry["bytes_in"], len(early) + 5)

    def test_early_bytes_wait_for_a_tcp_backend(self) -> None:
        rig = self.tcp_rig()
        rig.backend.is_silent = True
        client = rig.client(SENDER)
        client.send(V1 + b"hello ")
        client.send(b"world")
        self.assertEqual(client.unread, 5)
        rig.backend.accept()
        self.assertEqual(rig.backend.received, b"hello world")

    def test_a_half_close_right_behind_the_header(self) -> None:
        rig = self.tcp_rig()
        client = rig.client(SENDER)
        client.queue(V1 + b"bye")
        client.finish()
        backend = rig.backend.connection
        self.assertEqual((backend.received, backend.ending), (b"bye", "finished"))

    def test_draining_takes_who_is_just_there(self) -> None:
        rig = self.rig()
        client, silent = rig.client(SENDER), rig.client(SENDER)
        client.send(V1[:5])
        rig.service.drain()
        client.send(V1[5:] + GET)
        rig.backend.request()
        rig.backend.answer(OK)
        self.assertIn(b"\r\nConnection: close\r\n", client.received)
        rig.wait(1.5)
        self.assertEqual(silent.ending, "reset")

    def test_a_removed_listener_waits_for_no_header(self) -> None:
        rig = self.tcp_rig()
        client = rig.client(SENDER)
        rig.change(listeners=(), pools=(), routes=())
        client.send(V1 + b"hello")
        self.assertEqual(client.ending, "reset")


class AccessTests(SynchronousTestCase):
    def rejected(self, rig: Rig) -> float:
        return rig.count("veloflux_connections_rejected_total", "denied")

    def test_denied_clients_are_closed_at_accept(self) -> None:
        rig = Rig(self, listener={"deny": ("198.51.100.0/24",)})
        self.assertIsNone(rig.try_client("198.51.100.7"))
        self.assertIsNone(rig.try_client("::ffff:198.51.100.7"))
        self.assertIsNotNone(rig.try_client("192.0.2.1"))
        self.assertEqual(self.rejected(rig), 2)

    def test_deny_wins_over_allow(self) -> None:
        rig = Rig(self, listener={"allow": ("198.51.100.0/24",), "deny": ("198.51.100.7",)})
        self.assertIsNone(rig.try_client("198.51.100.7"))
        self.assertIsNone(rig.try_client("192.0.2.1"))
        self.assertIsNotNone(rig.try_client("198.51.100.8"))

    def test_tcp_clients_are_judged_as_well(self) -> None:
        rig = Rig(self, listener={"protocol": "tcp", "pool": "app", "deny": ("0.0.0.0/0",)})
        self.assertIsNone(rig.try_client("198.51.100.7"))

    def test_the_headers_source_is_judged(self) -> None:
        """Not the proxy, which all clients come through."""
        rig = Rig(self, listener={"proxy_protocol": True, "deny": ("192.0.2.0/24", SENDER)})
        denied, admitted = rig.client(SENDER), rig.client(SENDER)
        denied.send(V1 + GET)
        admitted.send(V1.replace(b"192.0.2.9", b"203.0.113.9") + GET)
        self.assertEqual((denied.ending, denied.received), ("reset", b""))
        self.assertEqual(rig.backend.request().field(b"x-forwarded-for"), b"203.0.113.9")
        self.assertEqual(self.rejected(rig), 1)

    def test_what_is_no_network_is_refused(self) -> None:
        rig = Rig(self)
        listener = replace(rig.snapshot.listeners[0], deny=("10.0.0.1/8",))
        new = replace(rig.snapshot, version=2, listeners=(listener,))
        self.assertRaises(ValueError, rig.prepare, new)


class OutgoingTests(SynchronousTestCase):
    def rig(self, version: str = "v1", listener: dict[str, Any] | None = None, **more: Any) -> Rig:
        return Rig(self, pool={"proxy_protocol": version, **more}, listener=listener)

    def taken(self, rig: Rig, which: int, preface: bytes) -> bytes:
        """What a backend's connection got behind its PROXY header."""
        received = rig.backend.connections[which].received
        self.assertEqual(received[: len(preface)], preface)
        return received[len(preface) :]

    def test_a_relayed_connection_names_its_client(self) -> None:
        rig = self.rig(listener={"protocol": "tcp", "pool": "app"})
        client = rig.client("198.51.100.7")
        client.send(b"hello")
        rest = self.taken(rig, 0, b"PROXY TCP4 198.51.100.7 127.0.0.1 40000 80\r\n")
        self.assertEqual(rest, b"hello")
        client.close()
        rig.backend.connection.close()
        self.assertEqual(rig.entry()["bytes_in"], 5)

    def test_version_2(self) -> None:
        rig = self.rig("v2", {"protocol": "tcp", "pool": "app"})
        rig.client("198.51.100.7").send(b"hello")
        block = bytes([198, 51, 100, 7, 127, 0, 0, 1]) + struct.pack("!HH", 40000, 80)
        self.taken(rig, 0, SIGNATURE + b"\x21\x11\x00\x0c" + block)

    def test_a_header_is_passed_on_with_its_ends(self) -> None:
        listener = {"proxy_protocol": True, "protocol": "tcp", "pool": "app"}
        rig = self.rig("v2", listener)
        rig.client(SENDER).send(V1 + b"hello")
        self.assertEqual(self.taken(rig, 0, V2), b"hello")

    def test_no_connection_serves_two_requests(self) -> None:
        """Its beginning names one client; the next request may be another's."""
        rig = self.rig()
        for n, host in enumerate(("198.51.100.7", "198.51.100.8")):
            client = rig.client(host)
            client.send(GET)
            preface = b"PROXY TCP4 %b 127.0.0.1 40000 80\r\n" % host.encode()
            self.assertIn(b"GET / HTTP/1.1\r\n", self.taken(rig, n, preface))
            rig.backend.connections[n].send(OK)
            self.assertEqual(client.answer().status, 200)
            self.assertEqual(rig.backend.connections[n].ending, "closed")

    def test_a_client_behind_a_trusted_proxy_is_named(self) -> None:
        rig = self.rig(listener={"trusted_proxies": ("10.9.0.0/16",)})
        rig.client(SENDER).send(get(lines=b"X-Forwarded-For: 192.0.2.77\r\n"))
        self.taken(rig, 0, b"PROXY TCP4 192.0.2.77 127.0.0.1 0 80\r\n")

    def test_each_attempt_begins_with_its_own(self) -> None:
        rig = Rig(self, backends=2, pool={"proxy_protocol": "v1", "retries": Retries(attempts=1)})
        rig.backends[0].refuses = 111
        rig.client("198.51.100.7").send(GET)
        self.assertTrue(rig.backends[1].received.startswith(b"PROXY TCP4 198.51.100.7 "))

    def test_bodies_and_tunnels_come_behind_it(self) -> None:
        rig = self.rig()
        client = rig.client()
        client.send(UPLOAD + b"5\r\nhello\r\n0\r\n\r\n")
        self.assertTrue(rig.backend.received.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
        tunnel = rig.client()
        tunnel.send(UPGRADE)
        self.assertTrue(rig.backend.connections[1].received.startswith(b"PROXY TCP4 "))

    def test_kept_connections_end_when_headers_are_asked_for(self) -> None:
        """They have none, or have one that names another client."""
        rig = Rig(self)
        (pool,) = rig.snapshot.pools
        prefaced = replace(pool, proxy_protocol="v1")
        kept, busy = rig.client(), rig.client()
        kept.send(GET)
        busy.send(GET)
        first, second = rig.backend.connections
        first.send(OK)
        rig.change(pools=(prefaced,))
        second.send(OK)
        self.assertEqual((first.ending, second.ending), ("closed", "closed"))
        kept.send(GET)
        third = rig.backend.connections[2]
        self.assertTrue(third.received.startswith(b"PROXY "))
        rig.change(pools=(pool,))
        third.send(OK)
        self.assertEqual(third.ending, "closed")
        kept.send(GET)
        fourth = rig.backend.connections[3]
        self.assertTrue(fourth.received.startswith(b"GET "))
        fourth.send(OK)
        self.assertIsNone(fourth.ending)
