from dataclasses import replace
from typing import cast

from twisted.internet.error import ConnectBindError, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.model.address import Address
from veloflux.core.model.traffic import Backend, HealthCheck, Pool, Snapshot
from veloflux.fleet.check import Check
from veloflux.fleet.probes import Probes

CHECK = HealthCheck(type="tcp", interval_s=10.0, timeout_s=2.0, rise=2, fall=2)
A, B = Address("192.0.2.1", 80), Address("192.0.2.2", 80)


def snapshot(*addresses: Address, check: HealthCheck | None = CHECK) -> Snapshot:
    pool = Pool("web", tuple(Backend(a) for a in addresses), health_check=check)
    return Snapshot(1, (), (pool,), ())


class ProbesTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.changes: list[tuple[str, str, bool]] = []
        self.results: list[tuple[str, str, bool, float]] = []
        self.luck = 0.5
        self.probes = Probes(
            self.reactor,
            lambda *change: self.changes.append(change),
            lambda *result: self.results.append(result),
            lambda: self.luck,
        )
        self.addCleanup(self.probes.stop)

    def started(self) -> list[Check]:
        """The checks that have begun since the last call."""
        factories = [client[2] for client in self.reactor.tcpClients]
        self.reactor.tcpClients.clear()
        return [factory for factory in factories if isinstance(factory, Check)]

    def start(self, seconds: float = 0.1) -> Check:
        """The one check that begins within so many seconds."""
        self.reactor.advance(seconds)
        (check,) = self.started()
        return check

    def succeed(self, check: Check) -> None:
        protocol = check.buildProtocol(None)
        assert protocol is not None
        protocol.makeConnection(StringTransport())
        protocol.connectionLost(Failure(ConnectionRefusedError()))

    def refuse(self, check: Check) -> None:
        error = Failure(ConnectionRefusedError(111, "refused"))
        check.clientConnectionFailed(None, error)  # type: ignore[arg-type]

    def give(self, results: str) -> None:
        """Let the next checks of the one backend succeed (`+`) or fail (`-`)."""
        for result in results:
            check = self.start(CHECK.interval_s)
            (self.succeed if result == "+" else self.refuse)(check)


class StateTests(ProbesTestCase):
    def test_a_backend_is_unknown_until_its_first_result(self) -> None:
        self.probes.configure(snapshot(A))
        self.assertEqual(self.probes.states(), {("web", "192.0.2.1:80"): "unknown"})
        self.succeed(self.start())
        self.assertEqual(self.probes.states(), {("web", "192.0.2.1:80"): "healthy"})
        self.assertEqual(self.changes, [("web", "192.0.2.1:80", True)])

    def test_tells_of_changes_only(self) -> None:
        self.probes.configure(snapshot(A))
        self.give("++-+----+-++")
        self.assertEqual([healthy for *_, healthy in self.changes], [True, False, True])

    def test_keeps_the_state_of_what_did_not_change(self) -> None:
        self.probes.configure(snapshot(A))
        self.refuse(self.start())
        self.probes.configure(snapshot(A, B))
        states = {("web", "192.0.2.1:80"): "unhealthy", ("web", "192.0.2.2:80"): "unknown"}
        self.assertEqual(self.probes.states(), states)
        self.reactor.advance(0.1)
        self.assertEqual([check.address for check in self.started()], [B])

    def test_another_check_begins_anew(self) -> None:
        self.probes.configure(snapshot(A))
        self.refuse(self.start())
        self.probes.configure(snapshot(A, check=HealthCheck(type="tcp", rise=5)))
        self.assertEqual(self.probes.states(), {("web", "192.0.2.1:80"): "unknown"})
        self.succeed(self.start())
        self.assertEqual([healthy for *_, healthy in self.changes], [False, True])

    def test_checks_nothing_that_is_disabled_or_gone_or_without_check(self) -> None:
        self.probes.configure(snapshot(A, B))
        self.reactor.advance(0.1)
        checks = self.started()
        disabled = Pool("web", (Backend(A, enabled=False),), health_check=CHECK)
        self.probes.configure(Snapshot(2, (), (disabled, Pool("other", (Backend(B),))), ()))
        self.reactor.advance(100.0)
        self.assertEqual(self.started(), [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.refuse(checks[0])
        self.assertEqual((self.probes.states(), self.results), ({}, []))

    def test_a_check_is_on_nobodys_behalf(self) -> None:
        """In a pool whose backends get PROXY headers; a change of that begins anew."""
        pool = Pool("web", (Backend(A),), health_check=CHECK)
        for version, header in (("v1", b"PROXY UNKNOWN\r\n"), (None, b"")):
            prefaced = replace(pool, proxy_protocol=version)
            self.probes.configure(Snapshot(1, (), (prefaced,), ()))
            protocol = self.start().buildProtocol(None)
            assert protocol is not None
            transport = StringTransport()
            protocol.makeConnection(transport)
            self.assertEqual(transport.value(), header)
            protocol.connectionLost(Failure(ConnectionRefusedError()))

    def test_who_is_no_longer_checked_counts_as_usable(self) -> None:
        self.probes.configure(snapshot(A, B))
        self.reactor.advance(0.1)
        for check in self.started():
            self.refuse(check)
        self.changes.clear()
        self.probes.configure(snapshot(A, check=None))
        self.assertEqual(self.changes, [("web", "192.0.2.1:80", True)])

    def test_another_check_does_not_make_a_backend_usable_by_itself(self) -> None:
        self.probes.configure(snapshot(A))
        self.refuse(self.start())
        self.changes.clear()
        self.probes.configure(snapshot(A, check=HealthCheck(type="tcp", rise=5)))
        self.assertEqual(self.changes, [])

    def test_the_same_backend_in_two_pools_has_two_states(self) -> None:
        pools = tuple(Pool(name, (Backend(A),), health_check=CHECK) for name in ("x", "y"))
        self.probes.configure(Snapshot(1, (), pools, ()))
        self.reactor.advance(0.1)
        first, second = self.started()
        self.refuse(first)
        self.succeed(second)
        self.assertEqual(sorted(self.probes.states().values()), ["healthy", "unhealthy"])


class RhythmTests(ProbesTestCase):
    def test_checks_at_once_then_after_a_part_of_the_interval_then_regularly(self) -> None:
        self.probes.configure(snapshot(A))
        self.succeed(self.start(0.002))
        self.succeed(self.start(5.0))
        self.reactor.advance(9.9)
        self.assertEqual(self.started(), [])
        self.succeed(self.start(0.2))

    def test_many_backends_do_not_begin_at_one_time(self) -> None:
        backends = snapshot(*(Address(f"192.0.2.{i}", 80) for i in range(1, 251)))
        lucks = ((i + 0.5) / 250 for i in range(250))
        probes = Probes(self.reactor, lambda *_: None, lambda *_: None, lambda: next(lucks))
        probes.configure(backends)
        self.addCleanup(probes.stop)
        for _ in range(5):
            self.reactor.advance(0.1)
            self.assertEqual(len(self.started()), 50)

    def test_a_slow_check_is_not_overtaken_and_does_not_shift_the_next(self) -> None:
        self.probes.configure(snapshot(A))
        self.give("+")
        slow = self.start(10.0)
        self.reactor.advance(1.5)
        self.assertEqual(self.started(), [])
        self.refuse(slow)
        self.reactor.advance(8.4)
        self.assertEqual(self.started(), [])
        self.succeed(self.start(0.2))

    def test_a_connection_that_the_backend_keeps_is_closed_before_the_next_check(self) -> None:
        check = HealthCheck(type="http", interval_s=1.0, timeout_s=5.0)
        self.probes.configure(snapshot(A, check=check))
        protocol = self.start().buildProtocol(None)
        transport = StringTransport()
        assert protocol is not None
        protocol.makeConnection(transport)
        protocol.dataReceived(b"HTTP/1.1 200 OK\r\n\r\n")
        self.assertFalse(transport.disconnected)
        self.start(1.0)
        self.assertTrue(transport.disconnected)


class ReportTests(ProbesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.probes.configure(snapshot(A))

    def test_tells_every_result_and_how_long_it_took(self) -> None:
        self.succeed(self.start())
        slow = self.start(5.0)
        self.reactor.advance(1.5)
        self.refuse(slow)
        self.assertEqual(
            self.results,
            [("web", "192.0.2.1:80", True, 0.0), ("web", "192.0.2.1:80", False, 1.5)],
        )
        counts = self.probes.counts
        self.assertEqual((counts.total, counts.successful, counts.failed), (2, 1, 1))

    def test_logs_changes_with_their_reason(self) -> None:
        self.give("---++")
        logged = [
            (event["event"], event["pool"], event["backend"], event["reason"])
            for event in self.events
            if "event" in event
        ]
        self.assertEqual(
            logged,
            [
                ("BackendDown", "web", "192.0.2.1:80", "no connection: ECONNREFUSED"),
                ("BackendUp", "web", "192.0.2.1:80", "connected"),
            ],
        )

    def test_a_failure_of_our_own_changes_nothing_and_is_logged_once(self) -> None:
        error = Failure(ConnectBindError(24, "Too many open files"))
        self.give("+")
        for _ in range(5):
            check = self.start(CHECK.interval_s)
            check.clientConnectionFailed(None, error)  # type: ignore[arg-type]
        self.assertEqual(self.probes.states(), {("web", "192.0.2.1:80"): "healthy"})
        self.assertEqual(self.probes.counts.total, 1)
        self.assertEqual(len([e for e in self.events if "cannot check" in e["log_format"]]), 1)
