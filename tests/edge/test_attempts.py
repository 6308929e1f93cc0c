"""Backends that fail: who is tried next, when nobody is, and what the client hears."""

import errno
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import GET, OK, POST, Backend, Client, Rig, get, ok, variant
from veloflux.core.model.address import Address
from veloflux.core.model.resilience import Retries
from veloflux.core.model.traffic import Backend as BackendModel
from veloflux.core.model.traffic import Keepalive, Pool, Route, Share

_CAREFUL = {"retries": Retries(on=("connect_failure", "refused"))}


class Refusing(SynchronousTestCase):
    """X1: nothing was sent, so another may be tried."""

    def test_another_is_tried(self) -> None:
        """X1"""
        for number in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENOENT):
            rig = Rig(self, backends=2)
            rig.backends[0].refuses = number
            for wire in (GET, POST):
                for _ in range(3):
                    client = rig.client()
                    client.send(wire)
                    rig.backends[1].request()
                    rig.backends[1].answer(OK)
                    self.assertEqual(client.answer().status, 200)
            self.assertEqual(len(rig.backends[1].connections), 1)
            entries = rig.entries(6)
            self.assertEqual({entry["backend"] for entry in entries}, {"10.0.0.2:80"})
            self.assertLessEqual({entry["attempts"] for entry in entries}, {1, 2})
            retried = sum(entry["attempts"] == 2 for entry in entries)
            self.assertEqual(rig.count("veloflux_upstream_retries_total", "refused"), retried)
            failed = rig.count("veloflux_upstream_requests_total", "10.0.0.1:80", "none")
            self.assertEqual(failed, retried)
            self.assertEqual(rig.inflight, 0)

    def test_all_refuse(self) -> None:
        """X1: fast, and with a word on when to come again"""
        rig = Rig(self, backends=3)
        for backend in rig.backends:
            backend.refuses = errno.ECONNREFUSED
        client = rig.client()
        client.send(GET)
        answer = client.answer()
        self.assertEqual((answer.status, answer.field(b"retry-after")), (503, b"1"))
        self.assertIsNone(client.ending)
        self.assertEqual([backend.attempts for backend in rig.backends], [1, 1, 1])
        entry = rig.entry()
        self.assertEqual((entry["termination"], entry["error"]), ("SC", "refused"))
        self.assertEqual((entry["attempts"], rig.inflight), (3, 0))

    def test_all_refuse_a_body(self) -> None:
        """X1: it was not read, so the connection cannot go on."""
        rig = Rig(self)
        rig.backend.refuses = errno.ECONNREFUSED
        client = rig.client()
        client.send(POST[:-2])
        answer = client.answer()
        self.assertEqual((answer.status, answer.field(b"connection")), (503, b"close"))
        self.assertEqual(client.ending, "finished")

    def test_they_come_back(self) -> None:
        """X1: without a restart"""
        rig = Rig(self)
        rig.backend.refuses = errno.ECONNREFUSED
        client = rig.client()
        client.send(GET)
        self.assertEqual(client.answer().status, 503)
        rig.backend.refuses = 0
        client.send(GET)
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)

    def test_none_left_here(self) -> None:
        """X11: what this machine ran out of is no other backend's to give, nor this one's fault."""
        for number in (errno.EMFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENFILE):
            rig = Rig(self, backends=2)
            for backend in rig.backends:
                backend.refuses = number
            client = rig.client()
            client.send(GET)
            answer = client.answer()
            self.assertEqual((answer.status, answer.field(b"retry-after")), (503, b"1"))
            self.assertEqual(sum(backend.attempts for backend in rig.backends), 1)
            entry = rig.entry()
            self.assertEqual((entry["termination"], entry["error"]), ("RC", "resources"))
            self.assertEqual(rig.count("veloflux_upstream_requests_total", "none"), 0)
            self.assertEqual(rig.inflight, 0)


class Dying(SynchronousTestCase):
    """X2: something was sent, so it may have been done. Pools here do not retry resets."""

    def test_a_new_connection_is_not_tried_again(self) -> None:
        """X2"""
        for wire in (GET, POST):
            for end in ("finish", "reset"):
                rig = Rig(self, backends=2, pool=_CAREFUL)
                client = rig.client()
                client.send(wire)
                getattr(self.tried(rig).connection, end)()
                answer = client.answer()
                self.assertEqual((answer.status, answer.field(b"retry-after")), (502, None))
                self.assertEqual(sum(backend.attempts for backend in rig.backends), 1)
                self.assertEqual(rig.entry()["attempts"], 1)

    def tried(self, rig: Rig) -> Backend:
        """The one backend that was tried."""
        (backend,) = [backend for backend in rig.backends if backend.connections]
        return backend

    def kept(self) -> tuple[Rig, Client]:
        """A client, and a connection to the backend that has served."""
        rig = Rig(self, pool=_CAREFUL)
        client = rig.client()
        client.send(GET)
        rig.backend.answer(OK)
        client.answer()
        return rig, client

    def test_a_kept_connection_is_tried_once_more(self) -> None:
        """The backend may have closed it just before; only what may be repeated is."""
        for method in (b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"QUERY"):
            for end in ("finish", "reset"):
                rig, client = self.kept()
                client.send(method + b" /again HTTP/1.1\r\nHost: a\r\n\r\n")
                getattr(rig.backend.connections[0], end)()
                self.assertEqual(len(rig.backend.connections), 2)
                request = rig.backend.connections[1].requests()[0]
                self.assertEqual((request.method, request.target), (method, b"/again"))
                self.assertEqual(client.news, b"")
                rig.backend.connections[1].send(b"HTTP/1.1 204 No Content\r\n\r\n")
                self.assertEqual(client.answer(method).status, 204)
                self.assertEqual(rig.entries(2)[1]["attempts"], 2)
                reason = "reused_connection_closed"
                self.assertEqual(rig.count("veloflux_upstream_retries_total", reason), 1)
                self.assertEqual(rig.inflight, 0)

    def test_once_more_and_no_more(self) -> None:
        rig, client = self.kept()
        client.send(GET)
        for connection in (0, 1):
            rig.backend.connections[connection].finish()
        self.assertEqual(client.answer().status, 502)
        self.assertEqual(rig.backend.attempts, 2)

    def test_what_may_not_be_repeated_is_not(self) -> None:
        for wire in (
            POST,
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            b"PATCH / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"LOCK / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok",
            b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ):
            rig, client = self.kept()
            client.send(wire)
            rig.backend.connection.finish()
            with variant(repr(wire[:20])):
                self.assertEqual(client.answer().status, 502)
                self.assertEqual(rig.backend.attempts, 1)

    def test_an_answer_that_began_is_not_repeated(self) -> None:
        for wire in (b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"):
            rig, client = self.kept()
            client.send(GET)
            rig.backend.answer(wire)
            rig.backend.connection.finish()
            self.assertEqual(client.answer().status, 502)
            self.assertEqual(rig.backend.attempts, 1)

    def test_a_kept_connection_that_ends_while_idle_is_forgotten(self) -> None:
        for end in ("finish", "close", "reset"):
            rig, client = self.kept()
            getattr(rig.backend.connections[0], end)()
            self.assertEqual(rig.gauge("veloflux_connections", "upstream"), 0)
            client.send(POST)
            self.assertEqual(len(rig.backend.connections), 2)
            rig.backend.connections[1].send(OK)
            self.assertEqual(client.answer().status, 200)
            self.assertEqual(rig.count("veloflux_upstream_retries_total"), 0)

    def test_the_backend_is_gone_for_the_second_try(self) -> None:
        rig, client = self.kept()
        rig.backend.refuses = errno.ECONNREFUSED
        client.send(GET)
        rig.backend.connection.reset()
        self.assertEqual(client.answer().status, 503)
        self.assertEqual(rig.inflight, 0)


class Gone(SynchronousTestCase):
    """L7: the client is gone, so nobody needs the backend's work."""

    PHASES = ("connecting", "uploading", "waiting", "answering")

    def begin(self, phase: str) -> tuple[Rig, Client]:
        """A request brought into a phase."""
        rig = Rig(self)
        client = rig.client()
        rig.backend.is_silent = phase == "connecting"
        client.send(POST[:-2] if phase == "uploading" else POST)
        if phase == "answering":
            rig.backend.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        self.assertEqual(rig.inflight, 1)
        return rig, client

    def test_its_backend_is_let_go(self) -> None:
        """L7"""
        letters = {"connecting": "CR", "uploading": "CR", "waiting": "CH", "answering": "CD"}
        for phase in self.PHASES:
            for end in ("finish", "close", "reset"):
                with variant(f"{phase}, {end}"):
                    rig, client = self.begin(phase)
                    getattr(client, end)()
                    self.assertEqual(rig.inflight, 0)
                    if phase == "connecting":
                        rig.backend.accept()
                    else:
                        self.assertEqual(rig.backend.connection.ending, "reset")
                    self.assertEqual(rig.service.connections, 0)
                    entry = rig.entry()
                    status = 200 if phase == "answering" else 0
                    self.assertEqual(entry["status"], status)
                    if phase != "connecting":
                        self.assertEqual(entry["termination"], letters[phase])
                    self.assertEqual(entry["termination"][0], "C")
                    # It is no fault of the backend's.
                    self.assertEqual(rig.count("veloflux_upstream_requests_total", "none"), 0)

    def test_a_connection_that_was_being_made_serves_another(self) -> None:
        """L7"""
        rig, client = self.begin("connecting")
        client.reset()
        rig.backend.accept()
        rig.backend.is_silent = False
        other = rig.client()
        other.send(GET)
        self.assertEqual(len(rig.backend.connections), 1)
        rig.backend.answer(OK)
        self.assertEqual(other.answer().status, 200)

    def test_a_connection_that_was_being_made_can_fail(self) -> None:
        """L7"""
        rig, client = self.begin("connecting")
        client.reset()
        rig.wait(5)
        self.assertEqual((rig.inflight, rig.reactor.descriptors), (0, 0))

    def test_while_its_answer_is_held_back(self) -> None:
        """L7, L5"""
        for end in ("close", "reset"):
            rig = Rig(self)
            client = rig.client()
            client.stop_reading()
            client.send(GET)
            rig.backend.answer(ok(b"x" * 1_000_000))
            getattr(client, end)()
            self.assertEqual(rig.backend.connection.ending, "reset")
            self.assertEqual((rig.inflight, rig.reactor.descriptors), (0, 0))

    def test_while_its_body_is_held_back(self) -> None:
        """L7"""
        rig = Rig(self)
        client = rig.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        rig.backend.connection.stop_reading()
        client.send(b"x" * 900_000)
        client.reset()
        rig.backend.connection.read()
        self.assertEqual(rig.backend.connection.ending, "reset")
        self.assertEqual((rig.inflight, rig.reactor.descriptors), (0, 0))

    def test_while_others_wait_behind_it(self) -> None:
        """L7, S23"""
        rig = Rig(self)
        client = rig.client()
        client.send(GET * 10)
        client.reset()
        self.assertEqual(rig.backend.connection.ending, "reset")
        self.assertEqual(rig.backend.received.count(b"\r\n\r\n"), 1)
        self.assertEqual(len(rig.entries(1)), 1)

    def test_after_its_last_answer(self) -> None:
        """L7: that is no abort."""
        rig = Rig(self)
        client = rig.client()
        client.send(GET)
        rig.backend.answer(OK)
        client.finish()
        self.assertEqual(client.answer().status, 200)
        self.assertEqual(client.ending, "closed")
        self.assertEqual(rig.entry()["termination"], "--")
        self.assertIsNone(rig.backend.connection.ending)


class Choice(SynchronousTestCase):
    """X1: which backends may be chosen"""

    def served_by(self, rig: Rig) -> str:
        """The number of the backend that gets a request, or the status without one."""
        client = rig.client()
        client.send(get(lines=b"Connection: close\r\n"))
        for number, backend in enumerate(rig.backends):
            for connection in backend.connections:
                if connection.received.count(b"\r\n\r\n") > connection.taken:
                    connection.taken += 1
                    connection.send(OK)
                    client.answer()
                    return str(number)
        return str(client.answer().status)

    def test_health_checks_have_a_word(self) -> None:
        """X1"""
        rig = Rig(self, backends=2)
        rig.service.mark("app", "10.0.0.1:80", False)
        self.assertEqual({self.served_by(rig) for _ in range(4)}, {"1"})
        rig.service.mark("app", "10.0.0.2:80", False)
        self.assertEqual({self.served_by(rig) for _ in range(4)}, {"503"})
        rig.service.mark("app", "10.0.0.1:80", True)
        self.assertEqual({self.served_by(rig) for _ in range(4)}, {"0"})
        rig.service.mark("app", "10.0.0.2:80", True)
        self.assertEqual({self.served_by(rig) for _ in range(4)}, {"0", "1"})

    def test_what_is_said_of_others_does_not_matter(self) -> None:
        """X1: a removed backend, a removed pool"""
        rig = Rig(self)
        rig.service.mark("app", "10.9.9.9:80", False)
        rig.service.mark("gone", "10.0.0.1:80", False)
        self.assertEqual(self.served_by(rig), "0")

    def test_health_outlives_a_new_snapshot(self) -> None:
        """X1"""
        rig = Rig(self, backends=2)
        rig.service.mark("app", "10.0.0.1:80", False)
        rig.change()
        self.assertEqual({self.served_by(rig) for _ in range(4)}, {"1"})

    def test_backends_that_are_not_wanted(self) -> None:
        """X1"""
        rig = Rig(self, backends=3)
        (pool,) = rig.snapshot.pools
        first, second, third = pool.backends
        members = (replace(first, enabled=False), replace(second, weight=0), third)
        rig.change(pools=(replace(pool, backends=members),))
        self.assertEqual({self.served_by(rig) for _ in range(4)}, {"2"})
        rig.change(pools=(replace(pool, backends=members[:2]),))
        self.assertEqual(self.served_by(rig), "503")

    def test_backups_serve_when_nobody_else_can(self) -> None:
        """X1"""
        rig = Rig(self, backends=2)
        (pool,) = rig.snapshot.pools
        members = (pool.backends[0], replace(pool.backends[1], backup=True))
        rig.change(pools=(replace(pool, backends=members),))
        self.assertEqual({self.served_by(rig) for _ in range(4)}, {"0"})
        rig.service.mark("app", "10.0.0.1:80", False)
        self.assertEqual({self.served_by(rig) for _ in range(4)}, {"1"})

    def test_a_flapping_backend(self) -> None:
        """X1"""
        rig = Rig(self, backends=2)
        for n in range(20):
            rig.service.mark("app", "10.0.0.1:80", bool(n % 2))
            self.assertIn(self.served_by(rig), ("0", "1"))
        self.assertEqual(rig.inflight, 0)

    def test_pools_get_their_share(self) -> None:
        """A canary: one in ten, within six standard deviations"""
        addresses = [Address(f"10.0.0.{n}", 80) for n in (1, 2, 3)]
        pools = tuple(
            Pool(name, (BackendModel(address),))
            for name, address in zip("abc", addresses, strict=True)
        )
        shares = (Share("a", 90), Share("b", 10), Share("c", 0))
        rig = Rig(self, backends=3, pools=pools, routes=(Route("all", pools=shares),))
        seen = [self.served_by(rig) for _ in range(600)]
        self.assertTrue(16 < seen.count("1") < 104, seen.count("1"))
        self.assertEqual(seen.count("0") + seen.count("1"), 600)

    def test_connections_are_shared_by_clients(self) -> None:
        rig = Rig(self)
        for _ in range(5):
            self.assertEqual(self.served_by(rig), "0")
        self.assertEqual(len(rig.backend.connections), 1)

    def burst(self, rig: Rig) -> list[str | None]:
        """Five requests at once; how the backend's connections ended."""
        clients = [rig.client() for _ in range(5)]
        for client in clients:
            client.send(GET)
        for connection in rig.backend.connections[-5:]:
            connection.send(OK)
        for client in clients:
            self.assertEqual(client.answer().status, 200)
        return [connection.ending for connection in rig.backend.connections]

    def test_only_so_many_are_kept(self) -> None:
        rig = Rig(self, pool={"keepalive": Keepalive(max_idle=2)})
        self.burst(rig)
        rig.wait(1.5)
        endings = [connection.ending for connection in rig.backend.connections]
        self.assertEqual((endings.count(None), endings.count("closed")), (2, 3))

    def test_the_next_burst_finds_the_connections_of_the_last(self) -> None:
        rig = Rig(self, pool={"keepalive": Keepalive(max_idle=2)})
        self.burst(rig)
        rig.wait(0.5)
        self.assertEqual(self.burst(rig), [None] * 5)

    def test_a_burst_is_not_kept_whole(self) -> None:
        rig = Rig(self, pool={"keepalive": Keepalive(max_idle=1)})
        endings = self.burst(rig)
        self.assertEqual((endings.count(None), endings.count("closed")), (4, 1))

    def test_none_may_be_kept(self) -> None:
        rig = Rig(self, pool={"keepalive": Keepalive(max_idle=0)})
        self.assertEqual(self.burst(rig), ["closed"] * 5)
