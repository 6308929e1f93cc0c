"""A worker's service: drained, given other snapshots while it works, closed."""

import socket
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import GET, LISTENING, OK, POST, Rig, get, ok
from veloflux.core.model.address import Address
from veloflux.core.model.traffic import (
    Backend,
    HeaderEdits,
    Limits,
    Listener,
    Pool,
    Route,
    Share,
    Snapshot,
)
from veloflux.edge.board import Board, Rows
from veloflux.edge.listener import REMOVED_S

OTHER = Address("127.0.0.1", 8081)


class Drain(SynchronousTestCase):
    """X8"""

    def test_idle_connections_are_closed(self) -> None:
        """X8"""
        rig = Rig(self)
        client = rig.client()
        client.send(GET)
        rig.backend.answer(OK)
        rig.service.drain()
        rig.reactor.turn()
        self.assertEqual(client.ending, "closed")
        self.assertFalse(rig.reactor.ports[0].is_listening)
        self.assertEqual(rig.service.connections, 0)

    def test_a_request_under_way_is_finished(self) -> None:
        """X8: and its answer says that it is the last."""
        for wire in (GET, POST, GET.replace(b"1.1", b"1.0")):
            rig = Rig(self)
            client = rig.client()
            client.send(wire)
            rig.service.drain()
            rig.reactor.turn()
            self.assertIsNone(client.ending)
            rig.backend.answer(OK)
            answer = client.answer()
            self.assertEqual((answer.body, answer.field(b"connection")), (b"ok", b"close"))
            self.assertEqual(client.ending, "closed")
            self.assertEqual(rig.service.connections, 0)

    def test_an_answer_under_way_is_finished(self) -> None:
        """X8: its head could not say so any more."""
        rig = Rig(self)
        client = rig.client()
        client.send(GET)
        rig.backend.answer(ok(b"hello")[:-1])
        rig.service.drain()
        rig.backend.answer(b"o")
        self.assertEqual(client.answer().body, b"hello")
        self.assertEqual(client.ending, "closed")

    def test_an_upload_is_finished(self) -> None:
        """X8"""
        rig = Rig(self)
        client = rig.client()
        client.send(POST[:-3])
        rig.service.drain()
        client.send(POST[-3:])
        self.assertEqual(rig.backend.request().body, b"hello")
        rig.backend.answer(OK)
        self.assertEqual(client.answer().field(b"connection"), b"close")

    def test_a_head_under_way_is_served(self) -> None:
        """X8"""
        rig = Rig(self)
        client = rig.client()
        client.send(GET[:10])
        rig.service.drain()
        client.send(GET[10:])
        rig.backend.answer(OK)
        self.assertEqual(client.answer().field(b"connection"), b"close")
        self.assertEqual(client.ending, "closed")

    def test_who_waits_to_be_accepted_is_served(self) -> None:
        """X8: the kernel has already told it that it is connected."""
        rig = Rig(self)
        clients = []
        port = rig.reactor.ports[0]
        port.waiting = [lambda: clients.append(rig.client()) for _ in range(3)]
        rig.service.drain()
        rig.reactor.turn()
        self.assertEqual(len(clients), 3)
        for client in clients:
            client.send(GET)
            rig.backend.connections[-1].send(OK)
            answer = client.answer()
            self.assertEqual((answer.status, answer.field(b"connection")), (200, b"close"))

    def test_who_says_nothing_is_not_waited_for(self) -> None:
        """X8"""
        rig = Rig(self)
        client = rig.client()
        rig.service.drain()
        rig.reactor.turn()
        self.assertIsNone(client.ending)
        rig.wait(1.3)
        self.assertEqual((client.ending, client.received), ("closed", b""))

    def test_pipelined_requests_end_with_the_one_under_way(self) -> None:
        """X8, S23"""
        rig = Rig(self)
        client = rig.client()
        client.send(GET * 3)
        rig.service.drain()
        rig.backend.answer(OK)
        self.assertEqual([each.status for each in client.answers(*[b"GET"] * 3)], [200])
        self.assertEqual(client.ending, "closed")

    def test_what_has_not_ended_in_time_is_cut_and_logged(self) -> None:
        """X8: a line and a count for each, and no client is blamed."""
        rig = Rig(self)
        wires = (GET, get(b"/begun"), POST[:-2], GET[:-2])
        clients = [rig.client() for _ in wires]
        for client, wire in zip(clients, wires, strict=True):
            client.send(wire)
        rig.backend.connections[1].send(OK[:-1])
        rig.service.drain()
        rig.service.cut()
        rig.reactor.turn()
        for client in clients:
            self.assertEqual(client.ending, "reset")
        self.assertEqual(rig.service.connections, 0)
        ends = sorted(entry["termination"] for entry in rig.entries(3))
        self.assertEqual(ends, ["PD", "PH", "PR"])

    def test_failures_and_refusals_close_as_well(self) -> None:
        """X8"""
        rig = Rig(self)
        rig.backend.refuses = 111
        clients = [rig.client(), rig.client()]
        for client in clients:
            client.send(GET[:-2])
        rig.service.drain()
        clients[0].send(b"\r\n")
        clients[1].send(b"X-Forwarded-For: x\r\n\r\n")
        for client in clients:
            answer = client.answer()
            self.assertEqual((answer.status, answer.field(b"connection")), (503, b"close"))
            self.assertEqual(client.ending, "closed")

    def test_once_is_enough(self) -> None:
        """X8: a second signal"""
        rig = Rig(self)
        client = rig.client()
        client.send(GET)
        rig.service.drain()
        rig.service.drain()
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)


class Close(SynchronousTestCase):
    def test_everything_ends(self) -> None:
        """X8: by the deadline"""
        rig = Rig(self)
        clients = [rig.client() for _ in range(3)]
        clients[0].send(GET)
        clients[1].send(POST[:-1])
        rig.service.close()
        rig.reactor.turn()
        self.assertEqual([client.ending for client in clients], ["reset"] * 3)
        self.assertEqual((rig.service.connections, rig.reactor.descriptors), (0, 0))
        self.assertFalse(rig.reactor.ports[0].is_listening)
        self.assertEqual(rig.reactor.getDelayedCalls(), [])

    def test_twice_is_once(self) -> None:
        rig = Rig(self)
        rig.service.close()
        rig.service.close()


class Commit(SynchronousTestCase):
    def snapshot(self, rig: Rig, **fields) -> Snapshot:
        old = rig.snapshot
        return replace(old, version=old.version + 1, revision=old.revision + 1, **fields)

    def test_requests_under_way_keep_what_routed_them(self) -> None:
        rig = Rig(self)
        client = rig.client()
        client.send(GET)
        edits = HeaderEdits(add=(("X-New", "1"),))
        rig.change(routes=(Route("new", pools=(Share("app"),), response_headers=edits),))
        rig.backend.answer(OK)
        self.assertIsNone(client.answer().field(b"x-new"))
        client.send(GET)
        rig.backend.answer(OK)
        self.assertEqual(client.answer().field(b"x-new"), b"1")
        self.assertEqual([entry["route"] for entry in rig.entries(2)], ["all", "new"])
        self.assertEqual([entry["config_version"] for entry in rig.entries(2)][1], 2)

    def test_connections_survive(self) -> None:
        """Nothing is recycled that a change does not touch."""
        rig = Rig(self)
        client = rig.client()
        client.send(GET)
        rig.backend.answer(OK)
        for _ in range(3):
            rig.change()
        client.send(GET)
        rig.backend.answer(OK)
        self.assertEqual(len(client.answers(b"GET", b"GET")), 2)
        self.assertEqual(len(rig.backend.connections), 1)
        self.assertEqual(len(rig.reactor.ports), 1)

    def test_a_removed_backend_finishes_and_gets_nothing_more(self) -> None:
        rig = Rig(self)
        clients = [rig.client(), rig.client()]
        for client in clients:
            client.send(GET)
        rig.backend.connections[0].send(OK)
        idle, busy = rig.backend.connections
        other = rig.backend_at(Address("10.0.0.9", 80))
        pool = rig.snapshot.pools[0]
        rig.change(pools=(replace(pool, backends=(Backend(other.address),)),))
        self.assertEqual((idle.ending, busy.ending), ("closed", None))
        clients[0].send(GET)
        other.answer(OK)
        self.assertEqual(len(clients[0].answers(b"GET", b"GET")), 2)
        busy.send(OK)
        self.assertEqual(clients[1].answer().status, 200)
        self.assertEqual(busy.ending, "closed")
        self.assertEqual((rig.inflight, rig.gauge("veloflux_connections", "upstream")), (0, 1))
        self.assertEqual(rig.count("veloflux_upstream_requests_total", "2xx"), 3)

    def test_a_removed_pool_finishes_and_gets_nothing_more(self) -> None:
        rig = Rig(self)
        client = rig.client()
        client.send(GET)
        rig.change(pools=(Pool("other", (Backend(Address("10.0.0.9", 80)),)),), routes=())
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)
        self.assertEqual(rig.backend.connection.ending, "closed")
        client.send(GET)
        self.assertEqual(client.answer().status, 404)

    def test_a_removed_listener_finishes_and_accepts_nobody(self) -> None:
        rig = Rig(self)
        client = rig.client()
        client.send(GET)
        rig.change(listeners=(Listener("other", OTHER),))
        self.assertFalse(rig.reactor.ports[0].is_listening)
        self.assertTrue(rig.reactor.ports[1].is_listening)
        self.assertEqual(rig.service.connections, 1)
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)
        newcomer = rig.client(port=1)
        newcomer.send(GET)
        rig.backend.answer(OK)
        self.assertEqual(newcomer.answer().status, 200)
        self.assertEqual([each["listener"] for each in rig.entries(2)], ["web", "other"])

    def test_clients_of_a_removed_listener_are_asked_to_go(self) -> None:
        """Else they are served for ever by what nobody has configured any more."""
        rig = Rig(self)
        idle, asking, late = (rig.client() for _ in range(3))
        for client in (idle, late):
            client.send(GET)
            rig.backend.connections[-1].send(OK)
            client.answer()
        asking.send(GET)
        rig.change(listeners=(Listener("other", OTHER),))
        rig.backend.connection.send(OK)
        self.assertEqual(asking.answer().field(b"connection"), b"close")
        self.assertEqual(asking.ending, "closed")
        rig.wait(REMOVED_S - 1)
        self.assertIsNone(idle.ending)
        late.send(GET)
        rig.backend.connection.send(OK)
        self.assertEqual(late.answer().field(b"connection"), b"close")
        rig.wait(1.5)
        self.assertEqual((idle.ending, idle.news), ("closed", b""))
        self.assertEqual(rig.service.connections, 0)

    def test_a_listener_that_relays_from_now_on_lets_go_of_its_requests(self) -> None:
        rig = Rig(self)
        client = rig.client()
        client.send(GET)
        tcp = Listener("web", LISTENING, protocol="tcp", pool="app")
        rig.change(listeners=(tcp,))
        rig.backend.answer(OK)
        self.assertEqual(client.answer().field(b"connection"), b"close")

    def test_relayed_connections_outlive_their_listener(self) -> None:
        rig = Rig(self, listener={"protocol": "tcp", "pool": "app"})
        client = rig.client()
        client.send(b"hello")
        rig.change(listeners=(Listener("other", OTHER),))
        rig.wait(2 * REMOVED_S)
        client.send(b" world")
        self.assertEqual(rig.backend.received, b"hello world")

    def test_new_limits_are_for_new_connections(self) -> None:
        rig = Rig(self)
        old = rig.client()
        limits = Limits(max_headers=1)
        rig.change(listeners=(Listener("web", LISTENING, limits=limits),))
        new = rig.client()
        for client, status in ((old, 200), (new, 431)):
            client.send(get(lines=b"A: b\r\n"))
            if status == 200:
                rig.backend.answer(OK)
            self.assertEqual(client.answer().status, status)

    def test_a_pool_keeps_its_connections_with_other_backends(self) -> None:
        rig = Rig(self, backends=2)
        client = rig.client()
        client.send(GET)
        (used,) = [backend for backend in rig.backends if backend.connections]
        used.answer(OK)
        pool = rig.snapshot.pools[0]
        rig.change(pools=(replace(pool, backends=(Backend(used.address, weight=5),)),))
        client.send(GET)
        used.answer(OK)
        self.assertEqual(len(client.answers(b"GET", b"GET")), 2)
        self.assertEqual(len(used.connections), 1)

    def test_only_pools_that_change_are_configured(self) -> None:
        """Of a thousand, it would take a tenth of a second."""
        board = Board(Rows.create().fd, 0)
        rig = Rig(self, workers=2, board=board)
        kept = rig.snapshot.pools[0]
        changed = replace(kept, name="next", algorithm="least_conn")
        rig.change(pools=(kept, changed), cells={"next": {str(kept.backends[0].address): 7}})
        pools = rig.service._plane.pools
        backend = pools["next"].backends[str(kept.backends[0].address)]
        before = {name: pool.chooser for name, pool in pools.items()}
        backend.inflight = 3
        backend.show()
        self.assertEqual(board.cell(7, 2).total(), 3)
        # What nothing is said of has the cells it had.
        rig.change(pools=(kept, replace(changed, panic_percent=1)))
        self.assertIs(pools["app"].chooser, before["app"])
        self.assertIsNot(pools["next"].chooser, before["next"])
        self.assertEqual(board.cell(7, 2).total(), 3)
        rig.change(cells={"next": {backend.name: 8}})
        self.assertEqual((board.cell(7, 2).total(), board.cell(8, 2).total()), (0, 3))
        # How many workers there are matters to all.
        rig.change(workers=3)
        self.assertIsNot(pools["app"].chooser, before["app"])
        backend.inflight = 0

    def test_counts_go_on(self) -> None:
        rig = Rig(self)
        client = rig.client()
        for _ in range(2):
            client.send(GET)
            rig.backend.answer(OK)
            rig.change()
        self.assertEqual(rig.count("veloflux_http_requests_total", "all", "2xx", "GET"), 2)
        rig.change(routes=())
        self.assertEqual(rig.count("veloflux_http_requests_total", "all", "2xx", "GET"), 2)

    def test_counts_of_what_is_gone_are_not_lost(self) -> None:
        rig = Rig(self)
        client = rig.client()
        client.send(GET)
        rig.backend.answer(OK)
        client.send(b"bad\r\n\r\n")
        rig.change(routes=(), pools=(), listeners=(Listener("other", OTHER),))
        self.assertEqual(rig.count("veloflux_http_requests_total", "all", "2xx", "GET"), 1)
        self.assertEqual(rig.count("veloflux_upstream_requests_total", "app", "2xx"), 1)
        self.assertEqual(rig.count("veloflux_connections_accepted_total", "web"), 1)
        self.assertEqual(rig.errors("web"), 1)

    def test_what_cannot_be_prepared_changes_nothing(self) -> None:
        """C3"""
        rig = Rig(self)
        edits = HeaderEdits(add=(("X", "a\r\nb"),))
        bad = (
            {"listeners": (replace(rig.snapshot.listeners[0], trusted_proxies=("10/8/8",)),)},
            {"routes": (Route("r", pools=(Share("app"),), request_headers=edits),)},
            {"routes": (Route("r", pools=(Share("nobody"),)),)},
            {"listeners": (Listener("t", LISTENING, protocol="tcp", pool="nobody"),)},
            {"routes": (Route("r", host="bücher.example", pools=(Share("app"),)),)},
        )
        for fields in bad:
            with self.assertRaises(ValueError, msg=repr(fields)):
                rig.prepare(self.snapshot(rig, **fields))
            self.assertRaises(ValueError, rig.service.commit, 2)
            client = rig.client()
            client.send(GET)
            rig.backend.connections[-1].send(OK)
            self.assertEqual(client.answer().status, 200)
            client.close()

    def test_what_was_not_prepared_is_not_committed(self) -> None:
        rig = Rig(self)
        self.assertRaises(ValueError, rig.service.commit, 2)
        rig.prepare(self.snapshot(rig))
        self.assertRaises(ValueError, rig.service.commit, 3)

    def test_the_last_prepared_counts(self) -> None:
        rig = Rig(self)
        rig.prepare(self.snapshot(rig))
        third = replace(rig.snapshot, version=3, routes=())
        rig.prepare(third)
        self.assertRaises(ValueError, rig.service.commit, 2)
        rig.prepare(third)
        rig.service.commit(3)
        client = rig.client()
        client.send(GET)
        self.assertEqual(client.answer().status, 404)

    def test_a_listener_needs_its_socket(self) -> None:
        rig = Rig(self)
        new = self.snapshot(rig, listeners=(Listener("other", OTHER),))
        with self.assertRaises(ValueError) as caught:
            for _ in rig.service.prepare(new):
                pass
        self.assertIn(str(OTHER), str(caught.exception))

    def test_sockets_that_nobody_needs_are_closed(self) -> None:
        """(f) descriptors return to where they were."""
        rig = Rig(self)
        left, right = socket.socketpair()
        self.addCleanup(right.close)
        rig.service.listen(str(OTHER), left.detach())
        rig.change()
        self.assertEqual(right.recv(1), b"")

    def test_a_new_protocol_on_an_old_address(self) -> None:
        rig = Rig(self)
        old = rig.client()
        tcp = Listener("web", LISTENING, protocol="tcp", pool="app")
        rig.change(listeners=(tcp,))
        new = rig.client()
        new.send(b"\x00\x01")
        self.assertEqual(rig.backend.received, b"\x00\x01")
        old.send(GET)
        rig.backend.connections[1].send(OK)
        self.assertEqual(old.answer().status, 200)
        self.assertEqual(rig.entry()["protocol"], "HTTP/1.1")
