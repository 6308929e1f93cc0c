"""Real sockets on the loopback: bound, shared, refused, closed."""

import contextlib
import os
import socket
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.model.address import Address
from veloflux.fleet.bind import ListenError, bind
from veloflux.fleet.sockets import Sockets

LOCAL = Address("127.0.0.1", 0)
OTHER = Address("127.0.0.2", 0)


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.sockets = Sockets()
        self.addCleanup(self.sockets.close)
        # Not trial's own directory: a Unix socket's path is at most 107 bytes long.
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def can_connect(self, address: Address) -> bool:
        family = socket.AF_UNIX if address.path else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as caller:
            caller.settimeout(5)
            try:
                caller.connect(address.path or (address.host, address.port))
            except (ConnectionRefusedError, FileNotFoundError):
                return False
            return True

    def occupy(self, **options: bool) -> Address:
        other = bind(LOCAL, **options)
        self.addCleanup(other.close)
        other.listen()
        return Address("127.0.0.1", other.getsockname()[1])


def accept_all(listening: socket.socket) -> int:
    """How many wait."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            listening.accept()[0].close()
            count += 1
    return count


class TcpTests(Case):
    def test_each_worker_has_its_own_socket_on_the_same_port(self) -> None:
        self.sockets.bind([LOCAL], 3)
        socks = [self.sockets.of(LOCAL, worker) for worker in range(3)]
        self.assertEqual(len({sock.fileno() for sock in socks}), 3)
        self.assertEqual({sock.getsockname() for sock in socks}, {socks[0].getsockname()})
        self.assertEqual(self.sockets.actual(LOCAL).port, socks[0].getsockname()[1])
        self.assertFalse(any(sock.getblocking() for sock in socks))

    def test_refuses_connections_until_told_to_listen(self) -> None:
        self.sockets.bind([LOCAL], 2)
        actual = self.sockets.actual(LOCAL)
        self.assertFalse(self.can_connect(actual))
        self.sockets.listen()
        self.assertTrue(self.can_connect(actual))

    def test_holds_every_port_without_listening(self) -> None:
        path = Address(path=str(self.directory / "web.sock"))
        self.sockets.bind([LOCAL, OTHER, path], 2)
        self.sockets.listen()
        actual = [self.sockets.actual(each) for each in (LOCAL, OTHER)]
        self.sockets.hold()
        self.assertFalse(any(map(self.can_connect, [*actual, path])))
        self.assertEqual([self.sockets.actual(each) for each in (LOCAL, OTHER)], actual)
        self.sockets.bind([LOCAL, OTHER, path], 2)
        self.sockets.listen()
        self.assertEqual([self.sockets.actual(each) for each in (LOCAL, OTHER)], actual)
        self.assertTrue(all(map(self.can_connect, [*actual, path])))

    def test_names_an_occupied_port_and_the_way_out(self) -> None:
        taken = self.occupy()
        with self.assertRaises(ListenError) as caught:
            self.sockets.bind([taken], 1)
        text = str(caught.exception)
        self.assertIn(str(taken), text)
        self.assertIn("another process listens there", text)
        self.assertIn(f"sport = :{taken.port}", text)

    def test_does_not_share_a_port_with_another_daemon_of_the_same_user(self) -> None:
        taken = self.occupy(shared=True)
        self.assertRaises(ListenError, self.sockets.bind, [taken], 2)

    def test_a_failure_undoes_what_it_began(self) -> None:
        self.sockets.bind([LOCAL], 1)
        self.sockets.listen()
        kept = self.sockets.of(LOCAL, 0)
        with self.assertRaises(ListenError):
            self.sockets.bind([LOCAL, OTHER, self.occupy()], 2)
        self.assertNotIn(OTHER, self.sockets)
        self.assertIs(self.sockets.of(LOCAL, 0), kept)
        self.assertRaises(IndexError, self.sockets.of, LOCAL, 1)
        self.assertTrue(self.can_connect(self.sockets.actual(LOCAL)))

    def test_keeps_the_sockets_of_addresses_that_stay(self) -> None:
        self.sockets.bind([LOCAL, OTHER], 2)
        self.sockets.listen()
        kept, gone = self.sockets.of(LOCAL, 0), self.sockets.actual(OTHER)
        self.sockets.bind([LOCAL], 2)
        self.sockets.retain([LOCAL], 2)
        self.assertIs(self.sockets.of(LOCAL, 0), kept)
        self.assertFalse(self.can_connect(gone))

    def test_more_and_fewer_workers(self) -> None:
        self.sockets.bind([LOCAL], 1)
        self.sockets.bind([LOCAL], 3)
        last = self.sockets.of(LOCAL, 2)
        self.assertEqual(last.getsockname()[1], self.sockets.actual(LOCAL).port)
        self.sockets.retain([LOCAL], 2)
        self.assertEqual(last.fileno(), -1)

    def test_those_that_are_to_go_get_no_more_connections(self) -> None:
        self.sockets.bind([LOCAL], 3)
        self.sockets.listen()
        self.assertEqual(sum(self.arrivals(3)), 60)
        self.sockets.narrow(2)
        counts = self.arrivals(3)
        self.assertEqual(counts[2], 0)
        self.assertTrue(all(counts[:2]), counts)
        self.sockets.retain([LOCAL], 2)
        self.assertEqual(sum(self.arrivals(2)), 60)

    def test_one_that_is_new_gets_connections(self) -> None:
        self.sockets.bind([LOCAL], 3)
        self.sockets.listen()
        self.sockets.narrow(1)
        self.sockets.retain([LOCAL], 1)
        self.sockets.bind([LOCAL], 2)
        self.sockets.listen()
        self.assertTrue(all(self.arrivals(2)))

    def arrivals(self, workers: int) -> list[int]:
        """How many of sixty connections each worker's socket gets."""
        port = self.sockets.actual(LOCAL).port
        callers = [socket.create_connection((LOCAL.host, port), 5) for _ in range(60)]
        for caller in callers:
            caller.close()
        return [accept_all(self.sockets.of(LOCAL, worker)) for worker in range(workers)]

    def test_an_address_may_grow_to_cover_one_we_hold(self) -> None:
        """From 127.0.0.1:p to 0.0.0.0:p by a reload: both are ours for a moment."""
        self.sockets.bind([LOCAL], 2)
        self.sockets.listen()
        wide = Address("0.0.0.0", self.sockets.actual(LOCAL).port)
        self.sockets.bind([wide], 2)
        self.sockets.listen()
        self.sockets.retain([wide], 2)
        self.assertTrue(self.can_connect(Address("127.0.0.2", wide.port)))

    def test_a_failing_listen_silences_even_the_copies(self) -> None:
        """A worker may hold a copy of a socket that is given up: it must not go on listening."""
        self.sockets.bind([LOCAL], 1)
        actual = self.sockets.actual(LOCAL)
        copy = self.sockets.of(LOCAL, 0).dup()
        self.addCleanup(copy.close)
        self.sockets.bind([OTHER], 1)
        broken = self.sockets.of(OTHER, 0)
        # A connected socket cannot listen.
        target = self.occupy()
        broken.setblocking(True)
        broken.connect((target.host, target.port))
        self.assertRaises(ListenError, self.sockets.listen)
        self.sockets.close()
        self.assertFalse(self.can_connect(actual))

    def test_says_that_an_address_is_not_this_machines(self) -> None:
        with self.assertRaises(ListenError) as caught:
            self.sockets.bind([Address("192.0.2.1", 0)], 1)
        self.assertIn("no such address", str(caught.exception))

    def test_says_that_a_name_is_impossible(self) -> None:
        with self.assertRaises(ListenError) as caught:
            self.sockets.bind([Address("a..b", 80)], 1)
        self.assertIn("a..b:80: that is no possible host name", str(caught.exception))

    def test_ipv6_any_leaves_ipv4_alone(self) -> None:
        """X14."""
        if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
            self.skipTest("this machine has no IPv6")
        any6 = Address("::", 0)
        self.sockets.bind([any6], 1)
        any4 = Address("0.0.0.0", self.sockets.actual(any6).port)
        self.sockets.bind([any4], 1)
        self.sockets.listen()
        self.assertEqual(self.sockets.of(any6, 0).family, socket.AF_INET6)


class UnixTests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.address = Address(path=str(self.directory / "app.sock"))

    def test_all_workers_share_one(self) -> None:
        self.sockets.bind([self.address], 3)
        self.assertIs(self.sockets.of(self.address, 0), self.sockets.of(self.address, 2))
        self.sockets.retain([self.address], 1)
        self.sockets.listen()
        self.assertTrue(self.can_connect(self.address))

    def test_takes_over_what_a_dead_process_left(self) -> None:
        bind(self.address).close()
        self.assertTrue(os.path.exists(self.address.path))
        self.sockets.bind([self.address], 1)
        self.sockets.listen()
        self.assertTrue(self.can_connect(self.address))

    def test_refuses_one_that_somebody_listens_on(self) -> None:
        other = bind(self.address)
        self.addCleanup(other.close)
        other.listen()
        with self.assertRaises(ListenError) as caught:
            self.sockets.bind([self.address], 1)
        self.assertIn("another process listens there", str(caught.exception))
        self.assertTrue(self.can_connect(self.address))

    def test_never_removes_a_file_that_is_no_socket(self) -> None:
        path = Path(self.address.path)
        path.write_text("precious")
        with self.assertRaises(ListenError) as caught:
            self.sockets.bind([self.address], 1)
        self.assertIn("no socket", str(caught.exception))
        self.assertEqual(path.read_text(), "precious")

    def test_removes_its_name_at_the_end(self) -> None:
        self.sockets.bind([self.address], 1)
        self.sockets.close()
        self.assertFalse(os.path.exists(self.address.path))

    def test_leaves_a_name_that_another_has_taken(self) -> None:
        self.sockets.bind([self.address], 1)
        os.unlink(self.address.path)
        other = bind(self.address)
        self.addCleanup(other.close)
        self.sockets.close()
        self.assertTrue(os.path.exists(self.address.path))

    def test_says_that_there_is_no_directory(self) -> None:
        with self.assertRaises(ListenError) as caught:
            self.sockets.bind([Address(path=str(self.directory / "none" / "a.sock"))], 1)
        self.assertIn("No such file", str(caught.exception))
