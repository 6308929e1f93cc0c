"""What travels between the supervisor and a worker."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests.fleet.fakes import LOCAL, snapshot
from veloflux.core.model.address import Address
from veloflux.core.model.metrics import Distribution, Sample, Tally
from veloflux.core.model.traffic import Backend, HealthCheck, Pool, Snapshot
from veloflux.fleet import messages


class DownTests(SynchronousTestCase):
    def test_a_whole_snapshot_comes_back_equal(self) -> None:
        sent = Snapshot(
            version=7,
            listeners=snapshot(1, LOCAL, Address(path="/run/app.sock")).listeners,
            pools=(
                Pool(
                    "app",
                    (Backend(Address("::1", 80), weight=3, labels={"zone": "a"}),),
                    algorithm="least_conn",
                    health_check=HealthCheck(expected_status=((200, 204), (301, 301))),
                ),
            ),
            routes=snapshot(1).routes,
        )
        body = messages.encode(messages.Prepare(sent))
        self.assertEqual(messages.read_down(body), messages.Prepare(sent))

    def test_every_message_comes_back(self) -> None:
        for message in (
            messages.Listen("127.0.0.1:80"),
            messages.Commit(3),
            messages.Mark("app", "127.0.0.1:9001", healthy=False),
            messages.Tickets(b"secret"),
            messages.Reopen(),
            messages.Level("debug"),
            messages.Drain(2.5),
        ):
            self.assertEqual(messages.read_down(messages.encode(message)), message)

    def test_a_secret_is_not_shown(self) -> None:
        self.assertNotIn("hush", repr(messages.Tickets(b"hush")))

    def test_refuses_what_goes_the_other_way(self) -> None:
        body = messages.encode(messages.Hello(1))
        self.assertRaises(msgspec.ValidationError, messages.read_down, body)

    def test_refuses_a_value_of_another_type(self) -> None:
        body = msgspec.msgpack.encode({"type": "Commit", "version": "three"})
        self.assertRaises(msgspec.ValidationError, messages.read_down, body)

    def test_refuses_a_field_it_does_not_know(self) -> None:
        body = msgspec.msgpack.encode({"type": "Commit", "version": 3, "force": True})
        self.assertRaises(msgspec.ValidationError, messages.read_down, body)

    def test_refuses_bytes_that_are_no_message(self) -> None:
        for body in (b"", b"\xc1", b"GET / HTTP/1.1"):
            self.assertRaises(msgspec.MsgspecError, messages.read_down, body)


class UpTests(SynchronousTestCase):
    def test_every_message_comes_back(self) -> None:
        tally = Tally(
            samples=(Sample("veloflux_connections", ("downstream", "web"), 2.0),),
            distributions=(Distribution("veloflux_reactor_lag_seconds", (), {0: 1, 2: 2}, 0.5),),
        )
        for message in (
            messages.Hello(42),
            messages.Prepared(3),
            messages.Refused(3, "no"),
            messages.Applied(3),
            messages.Counted(tally, 9),
            messages.Leaving(),
            messages.Drained(1),
        ):
            self.assertEqual(messages.read_up(messages.encode(message)), message)
