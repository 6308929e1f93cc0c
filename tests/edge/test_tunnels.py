"""WebSocket handshakes and what follows them: bytes both ways, unread."""

import base64
import hashlib
import socket

from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import GET, OK, Client, Rig, get, variant
from veloflux.core.model.traffic import Route, Share, Timeouts

KEY = base64.b64encode(bytes(range(16)))
ACCEPT = base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
HANDSHAKE = get(
    b"/chat",
    UPGRADE + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n"
    b"Sec-WebSocket-Protocol: a, b\r\nOrigin: https://example.org\r\n",
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    + UPGRADE
    + b"Sec-WebSocket-Accept: "
    + ACCEPT
    + b"\r\nSec-WebSocket-Protocol: a\r\n\r\n"
)


class Handshakes(SynchronousTestCase):
    """W1, S19"""

    def test_a_good_one(self) -> None:
        """W1"""
        rig = Rig(self)
        client = rig.client()
        client.send(HANDSHAKE)
        request = rig.backend.request()
        self.assertEqual(request.field(b"upgrade"), b"websocket")
        self.assertEqual(request.field(b"connection"), b"Upgrade")
        self.assertEqual(request.field(b"sec-websocket-key"), KEY)
        self.assertEqual(request.field(b"sec-websocket-version"), b"13")
        self.assertEqual(request.field(b"sec-websocket-protocol"), b"a, b")
        self.assertEqual(request.field(b"origin"), b"https://example.org")
        rig.backend.answer(SWITCH)
        answer = client.answer()
        self.assertEqual(answer.status, 101)
        self.assertEqual(answer.field(b"upgrade"), b"websocket")
        self.assertEqual(answer.field(b"connection"), b"Upgrade")
        self.assertEqual(answer.field(b"sec-websocket-accept"), ACCEPT)
        self.assertEqual(answer.field(b"sec-websocket-protocol"), b"a")

    def test_other_spellings(self) -> None:
        """W1"""
        for lines in (
            b"Connection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\n",
            b"connection:UPGRADE\r\nupgrade:WEBSOCKET\r\n",
            b"Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
        ):
            rig = Rig(self)
            client = rig.client()
            client.send(HANDSHAKE.replace(UPGRADE, lines))
            rig.backend.request()
            rig.backend.answer(SWITCH)
            self.assertEqual(client.answer().status, 101)

    def test_bad_ones(self) -> None:
        """W1: refused here, so that no backend has to be careful"""
        for old, new in (
            (KEY, b"short"),
            (KEY, base64.b64encode(b"x" * 15)),
            (KEY, base64.b64encode(b"x" * 17)),
            (KEY, KEY[:-2]),
            (KEY, b"!" * 24),
            (KEY, KEY + b", " + KEY),
            (b"Sec-WebSocket-Key: ", b"X: "),
            (b"GET ", b"POST "),
            (b"GET ", b"HEAD "),
            (b"\r\nOrigin", b"\r\nContent-Length: 5\r\nOrigin"),
            (b"\r\nOrigin", b"\r\nTransfer-Encoding: chunked\r\nOrigin"),
        ):
            with variant(f"{old!r} to {new!r}"):
                rig = Rig(self)
                client = rig.client()
                client.send(HANDSHAKE.replace(old, new))
                method = new.strip() if old == b"GET " else b"GET"
                self.assertEqual(client.answer(method).status, 400)
                self.assertEqual(rig.backend.attempts, 0)
                self.assertEqual(rig.errors("upgrade"), 1)

    def test_another_version(self) -> None:
        """W1: and the client is told which there is"""
        for version in (b"8", b"0", b"013", b"14", b"13, 8", b""):
            rig = Rig(self)
            client = rig.client()
            client.send(HANDSHAKE.replace(b"Version: 13", b"Version: " + version))
            answer = client.answer()
            self.assertEqual(answer.status, 426)
            self.assertEqual(answer.field(b"sec-websocket-version"), b"13")
            self.assertEqual(answer.field(b"upgrade"), b"websocket")
            self.assertEqual(rig.backend.attempts, 0)

    def test_a_wish_without_its_option_is_none(self) -> None:
        """W1: RFC 9110 section 7.8"""
        for lines in (b"Upgrade: websocket\r\n", b"Connection: Upgrade\r\n"):
            rig = Rig(self)
            client = rig.client()
            client.send(HANDSHAKE.replace(UPGRADE, lines))
            self.assertIsNone(rig.backend.request().field(b"upgrade"))
            rig.backend.answer(SWITCH)
            self.assertEqual(client.answer().status, 502)

    def test_http_1_0_has_none(self) -> None:
        """W1"""
        rig = Rig(self)
        client = rig.client()
        client.send(HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0"))
        self.assertIsNone(rig.backend.request().field(b"upgrade"))

    def test_a_backend_that_did_not_understand(self) -> None:
        """S19: no proof, no tunnel"""
        for old, new in (
            (ACCEPT, base64.b64encode(b"x" * 20)),
            (ACCEPT, KEY),
            (ACCEPT, b""),
            (b"Sec-WebSocket-Accept: ", b"X: "),
            (b"Sec-WebSocket-Protocol: a", b"Sec-WebSocket-Accept: x"),
            (b"HTTP/1.1 101", b"HTTP/1.0 101"),
            (b"Upgrade: websocket", b"Upgrade: h2c"),
            (b"Upgrade: websocket\r\n", b""),
            (b"Connection: Upgrade\r\n", b""),
        ):
            with variant(f"{old!r} to {new!r}"):
                rig = Rig(self)
                client = rig.client()
                client.send(HANDSHAKE)
                rig.backend.answer(SWITCH.replace(old, new))
                self.assertEqual(client.answer().status, 502)
                self.assertEqual(rig.backend.connection.ending, "reset")
                client.send(get(b"/hidden"))
                self.assertEqual(rig.backend.connections[1].requests()[0].target, b"/hidden")

    def test_a_backend_that_does_not_want_to(self) -> None:
        """S19: its refusal is an answer like any other, and what follows is the next request"""
        for status in (300, 302, 308, 400, 401, 403, 404, 426, 500, 503):
            with variant(str(status)):
                rig = Rig(self)
                client = rig.client()
                client.send(HANDSHAKE + get(b"/next"))
                rig.backend.request()
                self.assertNotIn(b"/next", rig.backend.received)
                rig.backend.answer(b"HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\nok" % status)
                answer = client.answer()
                self.assertEqual((answer.status, answer.body), (status, b"ok"))
                self.assertEqual(rig.backend.request().target, b"/next")
                rig.backend.answer(OK)
                self.assertEqual(client.answer().body, b"ok")

    def test_a_backend_that_neither_switches_nor_refuses(self) -> None:
        """S19: a success without a switch is 502, and its bytes are nobody's"""
        for answer in (
            OK,
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\x81\x02hi",
            b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            SWITCH.replace(b"101 Switching Protocols", b"200 OK") + b"\x81\x02hi",
            SWITCH.replace(b"101 Switching Protocols", b"299 Odd"),
        ):
            with variant(repr(answer[:60])):
                rig = Rig(self)
                client = rig.client()
                client.send(HANDSHAKE + get(b"/next"))
                rig.backend.request()
                rig.backend.answer(answer)
                refused = client.answer()
                self.assertEqual(refused.status, 502)
                self.assertNotIn(b"\x81\x02hi", refused.body)
                self.assertEqual(rig.backend.connections[0].ending, "reset")
                self.assertEqual(rig.entry()["error"], "bad_answer")
                [request] = rig.backend.connections[1].requests()
                self.assertEqual(request.target, b"/next")

    def test_a_switch_that_nobody_asked_for(self) -> None:
        """S25"""
        for wire in (GET, HANDSHAKE.replace(b"Upgrade: websocket", b"Upgrade: h2c")):
            rig = Rig(self)
            client = rig.client()
            client.send(wire)
            rig.backend.answer(SWITCH)
            self.assertEqual(client.answer().status, 502)


class Tunnels(SynchronousTestCase):
    def tunnel(self, **rig_fields) -> tuple[Rig, Client]:
        rig = Rig(self, **rig_fields)
        client = rig.client()
        client.send(HANDSHAKE)
        rig.backend.answer(SWITCH)
        self.assertEqual(client.answer().status, 101)
        self.head = len(rig.backend.received)
        return rig, client

    def test_bytes_both_ways(self) -> None:
        rig, client = self.tunnel()
        for n in range(3):
            client.send(b"\x81\x00%d" % n + GET)
            rig.backend.answer(b"\x82\x00%d" % n + OK)
        self.assertEqual(
            rig.backend.received[self.head :], b"".join(b"\x81\x00%d" % n + GET for n in range(3))
        )
        self.assertEqual(client.news, b"".join(b"\x82\x00%d" % n + OK for n in range(3)))
        self.assertEqual((rig.inflight, rig.service.connections), (1, 1))

    def test_bytes_that_come_early(self) -> None:
        rig = Rig(self)
        client = rig.client()
        client.send(HANDSHAKE + b"from the client")
        rig.backend.answer(SWITCH + b"from the backend")
        self.assertTrue(rig.backend.received.endswith(b"\r\n\r\nfrom the client"))
        self.assertTrue(client.received.endswith(b"\r\n\r\nfrom the backend"))

    def test_many_bytes_that_come_early(self) -> None:
        rig = Rig(self)
        client = rig.client()
        client.send(HANDSHAKE)
        client.send(b"x" * 300_000)
        self.assertGreater(client.unread, 100_000)
        rig.backend.answer(SWITCH)
        self.assertTrue(rig.backend.received.endswith(b"x" * 300_000))

    def test_it_ends_with_either_end(self) -> None:
        for end in ("client", "backend"):
            for how in ("close", "reset"):
                rig, client = self.tunnel()
                one, other = client, rig.backend.connection
                if end == "backend":
                    one, other = other, one
                one.send(b"the last")
                getattr(one, how)()
                if how == "close":
                    other.finish()
                with variant(f"{end} {how}"):
                    self.assertTrue(other.received.endswith(b"the last"))
                    self.assertIsNotNone(other.ending)
                    self.assertEqual((rig.inflight, rig.service.connections), (0, 0))
                    self.assertEqual(rig.reactor.descriptors, 0)
                    entry = rig.entry()
                    self.assertEqual((entry["status"], entry["path"]), (101, "/chat"))
                    if how == "reset":
                        expected = "CD" if end == "client" else "SD"
                        self.assertEqual(entry["termination"], expected)

    def test_either_end_may_finish_first(self) -> None:
        for end in ("client", "backend"):
            rig, client = self.tunnel()
            one, other = client, rig.backend.connection
            if end == "backend":
                one, other = other, one
            one.send(b"that is all")
            one.finish()
            self.assertTrue(other.received.endswith(b"that is all"))
            self.assertEqual(other.ending, "finished")
            self.assertIsNone(one.ending)
            other.send(b"x" * 100_000)
            self.assertTrue(one.received.endswith(b"x" * 100_000))
            other.finish()
            self.assertEqual((one.ending, other.ending), ("closed", "closed"))
            entry = rig.entry()
            self.assertEqual(entry["termination"], "--")
            counted = (entry["bytes_in"], entry["bytes_out"])
            self.assertEqual(sorted(counted), [11, 100_000])
            self.assertEqual(counted[0] == 11, end == "client")

    def test_a_slow_reader_holds_its_writer_back(self) -> None:
        """L5"""
        for end in ("client", "backend"):
            rig, client = self.tunnel()
            slow, fast = client, rig.backend.connection
            if end == "backend":
                slow, fast = fast, slow
            slow.stop_reading()
            fast.send(b"x" * 1_000_000)
            self.assertGreater(fast.unread, 800_000)
            for _ in range(5):
                rig.wait(20)
                slow.read(1000)
            self.assertIsNone(slow.ending)
            slow.read()
            self.assertTrue(slow.received.endswith(b"x" * 1_000_000))

    def test_one_that_never_reads_is_cut_off(self) -> None:
        """L5"""
        for end, letters in (("client", "cD"), ("backend", "sD")):
            rig, client = self.tunnel()
            slow, fast = client, rig.backend.connection
            if end == "backend":
                slow, fast = fast, slow
            slow.stop_reading()
            fast.send(b"x" * 1_000_000)
            rig.wait(31)
            self.assertEqual((slow.ending, fast.ending), ("reset", "reset"))
            self.assertEqual(rig.entry()["termination"], letters)

    def test_what_is_owed_is_sent(self) -> None:
        """One end is gone; the other gets the rest, at its pace."""
        rig, client = self.tunnel()
        client.stop_reading()
        rig.backend.answer(b"x" * 60_000)
        client.finish()
        rig.backend.connection.finish()
        for _ in range(3):
            rig.wait(20)
            client.read(1000)
        self.assertIsNone(client.ending)
        client.read()
        self.assertTrue(client.received.endswith(b"x" * 60_000))
        self.assertEqual(client.ending, "closed")
        self.assertEqual(rig.service.connections, 0)

    def test_silence_is_allowed(self) -> None:
        """For an hour: neither the keep-alive nor the backend's deadlines are for tunnels."""
        rig, client = self.tunnel(
            pool={"timeouts": Timeouts(total_s=5, idle_s=5)},
        )
        rig.wait(100)
        client.send(b"still there")
        self.assertTrue(rig.backend.received.endswith(b"still there"))
        self.assertIsNone(client.ending)

    def test_a_draining_worker_lets_it_be(self) -> None:
        """X8: it ends by its own, or at the supervisor's deadline."""
        rig, client = self.tunnel()
        rig.service.drain()
        rig.reactor.turn()
        client.send(b"still there")
        self.assertTrue(rig.backend.received.endswith(b"still there"))
        self.assertEqual(rig.service.connections, 1)

    def test_a_new_snapshot_lets_it_be(self) -> None:
        rig, client = self.tunnel()
        rig.change(routes=(), pools=())
        client.send(b"still there")
        rig.backend.answer(b"here too")
        self.assertTrue(rig.backend.received.endswith(b"still there"))
        self.assertEqual(client.news, b"here too")


class Relays(SynchronousTestCase):
    """A TCP listener"""

    def rig(self, **fields) -> Rig:
        return Rig(self, listener={"protocol": "tcp", "pool": "app"}, routes=(), **fields)

    def test_bytes_both_ways(self) -> None:
        rig = self.rig()
        client = rig.client()
        self.assertEqual(len(rig.backend.connections), 1)
        rig.backend.answer(b"220 hello\r\n")
        client.send(b"EHLO\r\n\x00\xff" + GET)
        self.assertEqual(client.received, b"220 hello\r\n")
        self.assertEqual(rig.backend.received, b"EHLO\r\n\x00\xff" + GET)
        self.assertEqual((rig.inflight, rig.service.connections), (1, 1))

    def test_little_is_not_held_back_for_more(self) -> None:
        """By Nagle's algorithm, until what went before is acknowledged."""
        rig = self.rig()
        rig.client()
        options = rig.backend.connection._peer.near.options
        self.assertEqual(options[socket.IPPROTO_TCP, socket.TCP_NODELAY], 1)
        self.assertEqual(options[socket.SOL_SOCKET, socket.SO_KEEPALIVE], 1)

    def test_each_client_has_its_own(self) -> None:
        rig = self.rig()
        clients = [rig.client() for _ in range(3)]
        for n, client in enumerate(clients):
            client.send(b"%d" % n)
        self.assertEqual([each.received for each in rig.backend.connections], [b"0", b"1", b"2"])
        clients[0].reset()
        clients[1].close()
        rig.backend.connections[1].close()
        rig.client()
        self.assertEqual(len(rig.backend.connections), 4)

    def test_what_comes_before_the_backend_waits(self) -> None:
        rig = self.rig()
        rig.backend.is_silent = True
        client = rig.client()
        client.send(b"x" * 1_000_000)
        self.assertGreaterEqual(client.unread, 1_000_000)
        rig.backend.accept()
        self.assertEqual(rig.backend.received, b"x" * 1_000_000)

    def test_a_client_that_is_through_before_the_backend_is_there(self) -> None:
        rig = self.rig()
        rig.backend.is_silent = True
        client = rig.client()
        client.send(b"all of it")
        client.finish()
        rig.backend.accept()
        self.assertEqual(rig.backend.received, b"all of it")
        self.assertEqual(rig.backend.connection.ending, "finished")
        rig.backend.answer(b"an answer")
        self.assertEqual(client.received, b"an answer")

    def test_either_end_may_finish_first(self) -> None:
        for end in ("client", "backend"):
            rig = self.rig()
            client = rig.client()
            one, other = client, rig.backend.connection
            if end == "backend":
                one, other = other, one
            one.send(b"question")
            one.finish()
            self.assertEqual((other.received, other.ending), (b"question", "finished"))
            other.send(b"answer")
            other.finish()
            self.assertEqual(one.received, b"answer")
            self.assertEqual((one.ending, other.ending), ("closed", "closed"))
            entry = rig.entry()
            self.assertEqual(entry["protocol"], "TCP")
            self.assertEqual((entry["termination"], entry["pool"]), ("--", "app"))
            self.assertEqual({entry["bytes_in"], entry["bytes_out"]}, {8, 6})
            self.assertEqual(rig.count("veloflux_tcp_bytes_total", "in"), entry["bytes_in"])
            self.assertEqual(rig.count("veloflux_tcp_bytes_total", "out"), entry["bytes_out"])
            self.assertEqual((rig.inflight, rig.reactor.descriptors), (0, 0))

    def test_a_slow_reader_holds_its_writer_back(self) -> None:
        """L5"""
        rig = self.rig()
        client = rig.client()
        client.stop_reading()
        rig.backend.answer(b"x" * 1_000_000)
        self.assertGreater(rig.backend.connection.unread, 800_000)
        for _ in range(5):
            rig.wait(25)
            client.read(1000)
        self.assertIsNone(client.ending)
        client.read()
        self.assertEqual(len(client.received), 1_000_000)

    def test_silence_ends_it(self) -> None:
        rig = self.rig(pool={"timeouts": Timeouts(idle_s=10)})
        client = rig.client()
        for _ in range(3):
            rig.wait(9)
            client.send(b"x")
        self.assertIsNone(client.ending)
        rig.wait(11)
        self.assertEqual((client.ending, rig.backend.connection.ending), ("reset", "reset"))
        self.assertEqual(rig.inflight, 0)

    def test_another_backend_is_tried(self) -> None:
        """X1"""
        rig = self.rig(backends=2)
        rig.backends[0].refuses = 111
        for _ in range(3):
            rig.client().send(b"x")
        self.assertEqual(rig.backends[1].received, b"xxx")

    def test_none_can_be_reached(self) -> None:
        """X1: there is no way to say so"""
        for number, letters in ((111, "SC"), (24, "RC")):
            rig = self.rig()
            rig.backend.refuses = number
            client = rig.client()
            self.assertEqual((client.ending, client.received), ("reset", b""))
            self.assertEqual((rig.inflight, rig.service.connections), (0, 0))
            self.assertEqual(rig.entry()["termination"], letters)

    def test_nobody_answers(self) -> None:
        """X2"""
        rig = self.rig()
        rig.backend.is_silent = True
        client = rig.client()
        rig.wait(3.3)
        self.assertEqual(client.ending, "reset")
        self.assertEqual(rig.entry()["termination"], "sC")
        self.assertEqual((rig.inflight, rig.reactor.descriptors), (0, 0))

    def test_a_client_that_leaves_early(self) -> None:
        """L7"""
        rig = self.rig()
        rig.backend.is_silent = True
        client = rig.client()
        client.reset()
        rig.wait(1)
        rig.backend.accept()
        rig.wait(4)
        self.assertEqual((rig.inflight, rig.service.connections), (0, 0))
        self.assertEqual(rig.reactor.descriptors, 0)

    def test_a_reset_is_passed_on(self) -> None:
        rig = self.rig()
        client = rig.client()
        rig.backend.answer(b"the last")
        rig.backend.connection.reset()
        self.assertEqual(client.received, b"the last")
        self.assertIsNotNone(client.ending)
        self.assertEqual(rig.entry()["termination"], "SD")

    def test_a_new_snapshot_lets_it_be(self) -> None:
        rig = self.rig()
        client = rig.client()
        rig.change(routes=(Route("r", pools=(Share("app"),)),))
        client.send(b"still there")
        self.assertEqual(rig.backend.received, b"still there")
