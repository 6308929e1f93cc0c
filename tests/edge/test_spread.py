"""A connection goes to the worker that has fewest; over real descriptors, without a network."""

import os
import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from veloflux.edge.board import Board, Rows
from veloflux.edge.spread import Spread

WEB = b"192.0.2.1:80"


class Reactor:
    def __init__(self) -> None:
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        if reader in self.readers:
            self.readers.remove(reader)


class Port:
    """Counts as its worker's what it serves."""

    addressFamily = socket.AF_UNIX
    spread: Spread | None = None

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self.factory = self
        self.socks: list[socket.socket] = []
        self.refusals = 0

    def serve(self, sock: socket.socket, address: str) -> None:
        self.socks.append(sock)
        self._worker.descriptors += 1

    def place(self, sock: socket.socket, address: str) -> None:
        if self.spread is not None and self.spread.gives(sock, WEB):
            sock.close()
        else:
            self.serve(sock, address)

    def refused(self, count: int) -> None:
        self.refusals += count

    def close(self) -> None:
        for sock in self.socks:
            sock.close()


class Worker:
    """One worker: what of its plane is asked for, its port and its part in the spreading."""

    def __init__(self, rows: Rows) -> None:
        self.reactor = Reactor()
        self.descriptors = 0
        self.workers = 2
        self.version = 1
        self.is_draining = False
        self.port = Port(self)
        self.row = rows.take()
        self.spread = Spread(self, Board(rows.fd, self.row))  # type: ignore[arg-type]  # enough of one

    def configure(self, version: int = 1, workers: int = 2) -> None:
        self.version, self.workers = version, workers
        self.spread.configure({WEB.decode(): self.port})

    def look_at_the_door(self) -> None:
        for reader in list(self.reactor.readers):
            reader.doRead()


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.rows = Rows.create()
        self.addCleanup(os.close, self.rows.fd)
        self.one, self.other = self.workers = [Worker(self.rows), Worker(self.rows)]
        self.outside = {}
        for each in self.workers:
            self.addCleanup(each.port.close)
            inside, outside = socket.socketpair(type=socket.SOCK_SEQPACKET)
            self.addCleanup(each.spread.close)
            self.outside[each.row] = outside
            each.spread.meet(each.row, inside.detach())
        for each in self.workers:
            for row, outside in self.outside.items():
                self.addCleanup(outside.close)
                if row != each.row:
                    each.spread.meet(row, os.dup(outside.fileno()))
            each.configure()

    def connection(self) -> tuple[socket.socket, socket.socket]:
        """A client's end, and the one that was accepted."""
        pair = socket.socketpair()
        for end in pair:
            self.addCleanup(end.close)
        return pair

    def accept(self, worker: Worker) -> socket.socket:
        """A connection that the kernel gives to this worker; returns the client's end."""
        client, accepted = self.connection()
        worker.port.place(accepted, "")
        return client

    def counts(self) -> list[int]:
        return [each.descriptors for each in self.workers]


class Giving(Case):
    def test_all_have_as_many_as_soon_as_they_look(self) -> None:
        for _ in range(16):
            self.accept(self.one)
        self.assertEqual(self.one.descriptors, 9)
        self.other.look_at_the_door()
        self.assertEqual(self.counts(), [9, 7])
        for _ in range(20):
            self.accept(self.one)
            self.other.look_at_the_door()
        self.assertEqual(sum(self.counts()), 36)
        self.assertLessEqual(abs(self.one.descriptors - self.other.descriptors), 2)

    def test_it_is_the_same_connection(self) -> None:
        self.one.descriptors = 5
        client = self.accept(self.one)
        client.sendall(b"hello")
        self.other.look_at_the_door()
        [sock] = self.other.port.socks
        self.assertEqual(sock.recv(100), b"hello")
        self.assertFalse(os.get_inheritable(sock.fileno()))
        sock.close()
        self.assertEqual(client.recv(100), b"")

    def test_one_that_does_not_look_gets_no_more_than_it_is_behind_and_some(self) -> None:
        self.one.descriptors = 1000
        for _ in range(100):
            self.accept(self.one)
        self.assertEqual(self.one.descriptors, 1092)
        self.other.look_at_the_door()
        self.assertEqual(self.other.descriptors, 8)

    def test_who_takes_says_so_at_once(self) -> None:
        self.one.descriptors = 3
        self.accept(self.one)
        self.accept(self.one)
        self.other.look_at_the_door()
        self.assertEqual(self.counts(), [3, 2])
        self.accept(self.one)
        self.other.look_at_the_door()
        self.assertEqual(self.counts(), [4, 2])

    def test_connections_that_come_and_go_stay(self) -> None:
        for _ in range(1000):
            self.accept(self.one)
            self.one.descriptors = 5
        self.other.look_at_the_door()
        given = self.other.descriptors
        self.one.spread.look(0.25)
        self.accept(self.one)
        self.other.look_at_the_door()
        self.assertEqual(self.counts(), [6, given])
        self.other.descriptors = 0
        self.other.spread.tell()
        self.one.spread.look(0.25)
        self.accept(self.one)
        self.other.look_at_the_door()
        self.assertEqual(self.counts(), [6, 1])

    def test_nothing_is_given_to_one_with_another_configuration(self) -> None:
        self.one.descriptors = 5
        self.one.configure(version=2)
        self.accept(self.one)
        self.assertEqual(self.one.descriptors, 6)
        self.other.configure(version=2)
        self.accept(self.one)
        self.other.look_at_the_door()
        self.assertEqual(self.counts(), [6, 1])

    def test_nothing_is_given_to_one_that_retires_but_taken_it_is(self) -> None:
        self.one.descriptors = 5
        self.accept(self.one)
        self.other.spread.retire()
        self.accept(self.one)
        self.other.look_at_the_door()
        self.assertEqual(self.counts(), [6, 1])

    def test_nothing_is_given_to_one_that_died(self) -> None:
        self.one.descriptors = 5
        self.rows.free(self.other.row)
        self.accept(self.one)
        self.assertEqual(self.one.descriptors, 6)

    def test_who_had_more_to_do_than_was_known_gives_it_back(self) -> None:
        for _ in range(20):
            self.accept(self.one)
        self.other.descriptors = 20
        self.other.look_at_the_door()
        self.one.look_at_the_door()
        self.assertEqual(sum(self.counts()), 40)
        self.assertLessEqual(abs(self.one.descriptors - self.other.descriptors), 2)

    def test_it_stays_when_the_door_is_closed(self) -> None:
        self.one.descriptors = 5
        self.other.spread.close()
        self.other.spread.tell()
        board = Board(self.rows.fd, self.other.row)
        Spread(self.other, board).configure({})  # type: ignore[arg-type]  # as above
        self.accept(self.one)
        self.assertEqual(self.one.descriptors, 6)

    def test_alone_there_is_nobody_to_give_to(self) -> None:
        self.assertIs(self.one.port.spread, self.one.spread)
        self.one.configure(workers=1)
        self.assertIsNone(self.one.port.spread)


class Taking(Case):
    def send(self, *rest: Any) -> None:
        socket.send_fds(self.outside[self.one.row], *rest)

    def test_for_an_address_that_is_no_more_it_is_closed(self) -> None:
        client, accepted = self.connection()
        self.send([b"192.0.2.9:80"], [accepted.fileno()])
        accepted.close()
        self.one.look_at_the_door()
        self.assertEqual(client.recv(100), b"")
        self.assertEqual(self.one.descriptors, 0)

    def test_without_a_descriptor_left_it_counts_as_refused(self) -> None:
        self.send([WEB], [])
        self.one.look_at_the_door()
        self.assertEqual((self.one.descriptors, self.one.port.refusals), (0, 1))

    def test_an_address_may_be_long(self) -> None:
        address = ".".join(["a" * 62] * 4) + ":65535"
        self.one.spread.configure({address: self.one.port})
        _, accepted = self.connection()
        self.send([address.encode()], [accepted.fileno()])
        self.one.look_at_the_door()
        self.assertEqual(self.one.descriptors, 1)

    def test_who_is_gone_already_is_let_go(self) -> None:
        self.one.port.addressFamily = socket.AF_INET
        with socket.socket() as never:
            self.send([WEB], [never.fileno()])
        self.one.look_at_the_door()
        self.assertEqual(self.one.descriptors, 0)

    def test_the_end_of_all_others_ends_it(self) -> None:
        for outside in self.outside.values():
            outside.close()
        self.other.spread.close()
        self.one.look_at_the_door()
        self.assertEqual(self.one.reactor.readers, [])
