"""X5: what the resolver does must not become what backends do."""

import socket

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from veloflux.core.model.traffic import BackendNetworks
from veloflux.core.policy.reach import Reach
from veloflux.edge.names import KEEP_S, MAX_ADDRESSES, REFRESH_S, RETRY_S, RememberedNames

NAME = "app.example"


def address(number: int, port: int = 80) -> IPv4Address:
    return IPv4Address("TCP", f"192.0.2.{number}", port)


@implementer(IResolutionReceiver)
class Receiver:
    """Hears one answer, into `answer`; None before it is complete."""

    def __init__(self) -> None:
        self.answer: list[IAddress] | None = None
        self._found: list[IAddress] = []

    def resolutionBegan(self, resolution: IHostResolution) -> None:
        self.resolution = resolution

    def addressResolved(self, address: IAddress) -> None:
        self._found.append(address)

    def resolutionComplete(self) -> None:
        assert self.answer is None, "there is one answer"
        self.answer = self._found


class NamesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[Deferred[list[IAddress]]] = []
        self.names = RememberedNames(self.look_up, self.clock.seconds)
        self.said: list[LogEvent] = []
        globalLogPublisher.addObserver(self.hear)
        self.addCleanup(globalLogPublisher.removeObserver, self.hear)

    def look_up(self, host: str, port: int) -> Deferred[list[IAddress]]:
        found: Deferred[list[IAddress]] = Deferred()
        self.asked.append(found)
        return found

    def hear(self, event: LogEvent) -> None:
        if event["log_namespace"] == "veloflux.edge.names.RememberedNames":
            self.said.append(event)

    def test_gives_no_address_where_no_backend_may_be(self) -> None:
        """F1: also when a name leads elsewhere than when it was looked at before."""
        self.names.reach = Reach(BackendNetworks())
        first = self.resolve()
        metadata = IPv4Address("TCP", "169.254.169.254", 80)
        self.asked[0].callback([metadata, address(1)])
        self.assertEqual(first.answer, [address(1)])
        self.assertIn("169.254.169.254", str(self.said[-1]["refused"]))
        self.clock.advance(REFRESH_S)
        self.resolve()
        self.asked[1].callback([metadata])
        self.assertEqual(self.resolve().answer, [])

    def resolve(self, name: str = NAME, port: int = 80) -> Receiver:
        receiver = Receiver()
        self.names.resolveHostName(receiver, name, port)
        self.assertEqual(receiver.resolution.name, name)
        return receiver

    def find(self, *numbers: int) -> None:
        self.asked[-1].callback([address(number) for number in numbers])

    def fail_to_find(self) -> None:
        self.asked[-1].errback(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))

    def test_many_who_ask_share_one_lookup(self) -> None:
        receivers = [self.resolve() for _ in range(100)]
        self.assertEqual(len(self.asked), 1)
        self.assertIsNone(receivers[0].answer)
        self.find(1, 2)
        for receiver in receivers:
            self.assertEqual(receiver.answer, [address(1), address(2)])

    def test_an_answer_is_known_for_a_while(self) -> None:
        self.resolve()
        self.find(1)
        self.clock.advance(REFRESH_S - 1)
        self.assertEqual(self.resolve().answer, [address(1)])
        self.assertEqual(len(self.asked), 1)

    def test_an_old_answer_is_used_while_a_new_one_is_sought(self) -> None:
        """So a resolver that takes half a minute makes nobody wait."""
        self.resolve()
        self.find(1)
        self.clock.advance(REFRESH_S)
        self.assertEqual(self.resolve().answer, [address(1)])
        self.assertEqual(self.resolve().answer, [address(1)])
        self.assertEqual(len(self.asked), 2)
        self.find(2)
        self.assertEqual(self.resolve().answer, [address(2)])

    def test_the_last_good_answer_outlives_the_resolver_but_not_for_ever(self) -> None:
        self.resolve()
        self.find(1)
        while self.clock.seconds() < KEEP_S - REFRESH_S:
            self.clock.advance(REFRESH_S)
            self.assertEqual(self.resolve().answer, [address(1)])
            self.fail_to_find()
        self.clock.advance(REFRESH_S + 1)
        last = self.resolve()
        self.assertIsNone(last.answer)
        self.fail_to_find()
        self.assertEqual(last.answer, [])

    def test_what_was_not_found_is_not_sought_by_every_request(self) -> None:
        first = self.resolve()
        self.fail_to_find()
        self.assertEqual(first.answer, [])
        self.assertEqual(self.resolve().answer, [])
        self.assertEqual(len(self.asked), 1)
        self.clock.advance(RETRY_S)
        again = self.resolve()
        self.find(1)
        self.assertEqual(again.answer, [address(1)])

    def test_an_empty_answer_is_none(self) -> None:
        self.resolve()
        self.find(1)
        self.clock.advance(REFRESH_S)
        self.resolve()
        self.find()
        self.assertEqual(self.resolve().answer, [address(1)])

    def test_an_answer_has_an_end(self) -> None:
        receiver = self.resolve()
        self.find(*range(250))
        assert receiver.answer is not None
        self.assertEqual(len(receiver.answer), MAX_ADDRESSES)

    def test_names_and_ports_are_apart(self) -> None:
        self.resolve()
        self.find(1)
        self.assertIsNone(self.resolve("other.example").answer)
        self.assertIsNone(self.resolve(port=81).answer)
        self.assertEqual(len(self.asked), 3)

    def test_says_once_that_a_name_is_lost_and_once_that_it_is_back(self) -> None:
        for _ in range(3):
            self.resolve()
            self.fail_to_find()
            self.clock.advance(RETRY_S)
        self.resolve()
        self.find(1)
        levels = [event["log_level"] for event in self.said]
        self.assertEqual(levels, [LogLevel.warn, LogLevel.info])
        self.assertEqual(self.said[0]["host"], NAME)
        self.assertIn("Name or service not known", str(self.said[0]["why"]))

    def test_another_error_is_no_answer_either(self) -> None:
        receiver = self.resolve()
        self.asked[-1].errback(UnicodeError("label too long"))
        self.assertEqual(receiver.answer, [])
