"""Caps on everything countable: heads, connections, addresses; and flat memory behind them."""

import gc
import tracemalloc
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import GET, OK, Client, Rig, get, ok, variant


class Heads(SynchronousTestCase):
    """L1"""

    def status(self, rig: Rig, wire: bytes, step: int) -> int:
        """What a client gets that sends `wire` in pieces of `step` bytes."""
        client = rig.client()
        for at in range(0, len(wire), step):
            client.send(wire[at : at + step])
            if client.received:
                break
        if not client.received:
            rig.backend.request()
            rig.backend.answer(OK)
        answer = client.answer()
        if answer.status != 200:
            self.assertEqual(answer.field(b"connection"), b"close")
            self.assertIsNotNone(client.ending)
        client.close()
        return answer.status

    def test_so_many_fields(self) -> None:
        """L1"""
        rig = Rig(self)
        for count, status in ((100, 200), (101, 431), (2000, 431)):
            wire = get(lines=b"A: b\r\n" * (count - 1))
            for step in (len(wire), 1 if count < 200 else 100):
                self.assertEqual(self.status(rig, wire, step), status, count)
        self.assertEqual(rig.errors("headers"), 4)

    def test_so_many_bytes(self) -> None:
        """L1: one huge header, or a million cookies"""
        rig = Rig(self)
        host = len(b"Host: example.org\r\n")
        for size, status in ((32_768, 200), (32_769, 431), (100_000, 431), (2_000_000, 431)):
            for name in (b"X: ", b"Cookie: "):
                value = (b"a=b; " * (size // 5 + 1))[: size - host - len(name) - 2].strip()
                value = value.ljust(size - host - len(name) - 2, b"x")
                wire = get(lines=name + value + b"\r\n")
                for step in (len(wire), 1000):
                    with variant(f"{size} in {step}"):
                        self.assertEqual(self.status(rig, wire, step), status)

    def test_a_target_of_so_many_bytes(self) -> None:
        """S20: the longest that is allowed, in every form"""
        rig = Rig(self)
        for size, status in ((8192, 200), (8193, 414)):
            for target in (
                b"/".ljust(size, b"x"),
                b"/?".ljust(size, b"x"),
                b"http://a/".ljust(size, b"x"),
            ):
                wire = get(target)
                for step in (len(wire), 1):
                    with variant(f"{target[:10]!r} in {step}"):
                        self.assertEqual(self.status(rig, wire, step), status)

    def test_other_limits(self) -> None:
        """L1: what is configured counts."""
        limits = {"max_headers": 3, "max_header_bytes": 100, "max_target_bytes": 10}
        rig = Rig(self, limits=limits)
        for wire, status in (
            (get(b"/12345678", b"A: b\r\n" * 2), 200),
            (get(lines=b"A: b\r\n" * 3), 431),
            (get(lines=b"A: " + b"b" * 90 + b"\r\n"), 431),
            (get(b"/1234567890"), 414),
        ):
            self.assertEqual(self.status(rig, wire, len(wire)), status)


class Connections(SynchronousTestCase):
    """L6"""

    def test_so_many(self) -> None:
        """L6"""
        rig = Rig(self, limits={"max_connections": 3})
        clients = [rig.client() for _ in range(3)]
        self.assertIsNone(rig.try_client("203.0.113.1"))
        self.assertEqual(rig.count("veloflux_connections_rejected_total", "max_connections"), 1)
        self.assertEqual(rig.count("veloflux_connections_accepted_total", "web"), 3)
        clients[0].send(GET)
        rig.backend.answer(OK)
        self.assertEqual(clients[0].answer().status, 200)
        clients[0].close()
        self.assertIsNotNone(rig.try_client())

    def test_so_many_for_each_worker(self) -> None:
        """L6: processes share the limit."""
        rig = Rig(self, limits={"max_connections": 5}, workers=2)
        for _ in range(3):
            rig.client()
        self.assertIsNone(rig.try_client())

    def test_a_site_of_many_addresses_is_one_client(self) -> None:
        """R1: whoever has IPv6 has a /64 at least."""
        rig = Rig(self, limits={"max_connections_per_ip": 2})
        first = rig.client("2001:db8::1")
        rig.client("2001:db8::2")
        self.assertIsNone(rig.try_client("2001:db8::ffff:ffff:ffff:ffff"))
        rig.client("2001:db8:0:1::1")
        first.close()
        rig.client("2001:db8::3")
        self.assertIsNone(rig.try_client("2001:db8::3"))

    def test_so_many_for_each_address(self) -> None:
        """L6"""
        rig = Rig(self, limits={"max_connections_per_ip": 2})
        clients = [rig.client("198.51.100.1") for _ in range(2)]
        self.assertIsNone(rig.try_client("198.51.100.1"))
        rig.client("198.51.100.2")
        reason = "max_connections_per_ip"
        self.assertEqual(rig.count("veloflux_connections_rejected_total", reason), 1)
        clients[0].reset()
        rig.client("198.51.100.1")
        self.assertIsNone(rig.try_client("198.51.100.1"))

    def test_none_is_no_limit(self) -> None:
        """L6"""
        rig = Rig(self, limits={"max_connections": 0})
        for _ in range(50):
            rig.client()
        self.assertEqual(rig.service.connections, 50)
        self.assertEqual(rig.gauge("veloflux_connections", "downstream", "web"), 50)

    def test_everybody_who_left_is_forgotten(self) -> None:
        """L6, L10: (f) descriptors return to where they were."""
        rig = Rig(self, limits={"max_connections_per_ip": 1})
        for n in range(50):
            client = rig.client(f"198.51.100.{n}")
            for wire, end in (
                (GET, "close"),
                (GET[:-1], "reset"),
                (b"bad\r\n\r\n", "close"),
                (b"", "finish"),
            )[n % 4 :][:1]:
                client.send(wire)
                getattr(client, end)()
        self.assertEqual(rig.service.connections, 0)
        rig.wait(3)
        self.assertEqual((rig.reactor.descriptors, rig.inflight), (0, 0))


class Memory(SynchronousTestCase):
    """(d) memory for each connection is under its cap, whatever a client does"""

    def grown(self, rig: Rig, connections: int, act: Callable[[Client], None]) -> float:
        """By how many bytes for each connection the process has grown after `act` on each."""
        act(rig.client())
        gc.collect()
        tracemalloc.start()
        try:
            before = sum(end.footprint for end in rig.backend.connections)
            clients = [rig.client() for _ in range(connections)]
            for client in clients:
                act(client)
            gc.collect()
            # What the network in memory keeps is not the product's.
            kept = sum(end.footprint for end in (*clients, *rig.backend.connections)) - before
            return (tracemalloc.get_traced_memory()[0] - kept) / connections
        finally:
            tracemalloc.stop()

    def test_idle_connections(self) -> None:
        """L6"""
        rig = Rig(self)

        def act(client: Client) -> None:
            client.send(GET)
            rig.backend.answer(OK)

        self.assertLess(self.grown(rig, 50, act), 24_000)

    def test_idle_connections_after_a_large_head(self) -> None:
        """L1: a head once read is not kept for ever."""
        rig = Rig(self)

        def act(client: Client) -> None:
            client.send(get(lines=b"Cookie: " + b"c" * 30_000 + b"\r\n"))
            rig.backend.answer(ok(b"", b"X: " + b"y" * 60_000 + b"\r\n"))

        self.assertLess(self.grown(rig, 50, act), 24_000)

    def test_hosts_and_options_that_nobody_has(self) -> None:
        """L10: what is remembered of a value is small."""
        rig = Rig(self)
        count = 0

        def act(client: Client) -> None:
            nonlocal count
            count += 1
            options = b",".join(b"%x%x" % (count, n) for n in range(4000))[:30_000]
            client.send(get(lines=b"Connection: close, " + options + b"\r\n"))
            rig.backend.answer(OK)

        self.assertLess(self.grown(rig, 50, act), 24_000)

    def test_a_client_that_sends_ahead(self) -> None:
        """S23"""
        rig = Rig(self)
        self.assertLess(self.grown(rig, 5, lambda client: client.send(GET * 20_000)), 200_000)

    def test_a_client_that_does_not_read(self) -> None:
        """L5"""
        rig = Rig(self)

        def act(client: Client) -> None:
            client.stop_reading()
            client.send(GET)
            rig.backend.connections[-1].send(ok(b"x" * 1_000_000))

        self.assertLess(self.grown(rig, 5, act), 350_000)

    def test_a_backend_that_does_not_read(self) -> None:
        """L5"""
        rig = Rig(self)

        def act(client: Client) -> None:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
            rig.backend.connections[-1].stop_reading()
            client.send(b"x" * 900_000)

        self.assertLess(self.grown(rig, 5, act), 350_000)

    def test_a_body_that_nobody_takes_yet(self) -> None:
        """L5"""
        rig = Rig(self)
        rig.backend.is_silent = True

        def act(client: Client) -> None:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
            client.send(b"x" * 900_000)

        self.assertLess(self.grown(rig, 5, act), 200_000)
