"""The doors between workers, as the supervisor keeps them."""

import os
import socket

from twisted.trial.unittest import SynchronousTestCase

from veloflux.fleet.doors import Doors
from veloflux.fleet.messages import Door


class Worker:
    """Has a duplicate of each door that it was told of, as a process does."""

    def __init__(self, case: SynchronousTestCase, doors: Doors, row: int) -> None:
        case.addCleanup(doors.left, row)
        self._case = case
        self.doors: dict[int, socket.socket] = {}
        doors.make(row)
        doors.open(row, self.meet)

    def meet(self, door: Door, descriptor: int) -> None:
        sock = socket.socket(fileno=os.dup(descriptor))
        sock.settimeout(5)
        self._case.addCleanup(sock.close)
        self.doors[door.row] = sock


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.doors = Doors()

    def worker(self, row: int) -> Worker:
        return Worker(self, self.doors, row)

    def give(self, door: socket.socket) -> socket.socket:
        """One end of a connection, whose other end goes through this door."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        ours.settimeout(5)
        with theirs:
            socket.send_fds(door, [b"web"], [theirs.fileno()])
        return ours

    def take(self, door: socket.socket) -> socket.socket:
        name, [descriptor], _, _ = socket.recv_fds(door, 100, 1)
        self.assertEqual(name, b"web")
        sock = socket.socket(fileno=descriptor)
        self.addCleanup(sock.close)
        return sock


class DoorTests(Case):
    def test_each_leads_to_its_worker_from_every_other(self) -> None:
        workers = [self.worker(row) for row in range(3)]
        for each in workers:
            self.assertEqual(sorted(each.doors), [0, 1, 2])
        for row, to in enumerate(workers):
            for each in workers:
                if each is not to:
                    ours = self.give(each.doors[row])
                    self.take(to.doors[row]).sendall(b"hello")
                    self.assertEqual(ours.recv(100), b"hello")

    def test_what_a_dead_worker_did_not_take_goes_to_another(self) -> None:
        one, _ = self.worker(0), self.worker(1)
        ours = self.give(one.doors[1])
        self.doors.left(1)
        self.take(one.doors[0]).sendall(b"hello")
        self.assertEqual(ours.recv(100), b"hello")

    def test_it_is_closed_when_there_is_no_other(self) -> None:
        one, other = self.worker(0), self.worker(1)
        self.doors.left(0)
        ours = self.give(one.doors[1])
        for sock in other.doors.values():
            sock.close()
        self.doors.left(1)
        self.assertEqual(ours.recv(100), b"")

    def test_a_successor_has_the_same_door(self) -> None:
        one = self.worker(0)
        self.worker(1)
        self.doors.left(1)
        ours = self.give(one.doors[1])
        successor = self.worker(1)
        self.take(successor.doors[1]).sendall(b"hello")
        self.assertEqual(ours.recv(100), b"hello")

    def test_without_anybody_there_are_none(self) -> None:
        before = len(os.listdir("/proc/self/fd"))
        self.worker(0)
        self.doors.make(7)  # whose process could not be started
        self.doors.left(7)
        self.doors.left(0)
        self.assertEqual(len(os.listdir("/proc/self/fd")) - before, 2)  # the worker's own
