"""What a watcher may say, and what it is told."""

import json
from dataclasses import replace
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from veloflux.control.services.feed import MAX_GROUPS, Event, Feed, Item, Topic
from veloflux.control.services.identity.identity import Standing
from veloflux.control.services.principal import ROLES, Principal
from veloflux.control.streams.session import AUTH_DEADLINE_S, BURST, STALLED_S, Session

VIEWER = Principal("u1", "ann", "viewer", ROLES["viewer"])
NOBODY = Principal("u2", "bob", "viewer", frozenset())


class Wire:
    """The socket: what was written to it, and how it was closed."""

    def __init__(self) -> None:
        self.written: list[Any] = []
        self.closed: tuple[int, str] | None = None

    def write(self, item: Item, payload: bytes) -> None:
        self.written.append(msgspec.json.decode(payload))

    def close(self, code: int, reason: str) -> None:
        self.closed = code, reason

    def types(self) -> list[str]:
        found = [each["type"] for each in self.written]
        self.written.clear()
        return found


class Idle:
    """Another watcher, of whom nothing is asked."""

    def take(self, item: Item) -> None:
        pass


class Known:
    """Credentials that are asked for by hand."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Deferred[Principal | None]]] = []
        self.found: Standing = "good"

    async def admit(self, token: str, address: str) -> Principal | None:
        answer: Deferred[Principal | None] = Deferred()
        self.asked.append((token, answer))
        return await answer

    async def standing(self, by: Principal) -> Standing:
        return self.found


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.state = "healthy"
        self.feed = Feed(
            [
                Topic(
                    "backends",
                    "backends",
                    "pools:read",
                    5.0,
                    lambda scope: [scope.pool or "all"],
                    lambda: {"a": self.state},
                    lambda keys, scope: [Event("backend_status_update", k, k) for k in keys],
                ),
                Topic("status", "status", None, 10.0, lambda scope: {"ok": True}),
            ],
            self.clock,
            lambda: 1e9,
        )
        self.wire = Wire()
        self.known = Known()
        self.session = Session(
            self.wire, self.feed, self.known, self.clock, lambda: 1e9, "c1", "127.0.0.1"
        )

    def say(self, **message: object) -> None:
        self.session.receive(json.dumps(message).encode())

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds * 4)):
            self.clock.advance(0.25)
            self.clock.advance(0)


class SigningIn(Case):
    def test_is_told_who_it_is_and_all_of_the_channel(self) -> None:
        self.session.open(VIEWER, "backends", None)
        connected, backends = self.wire.written
        self.assertEqual(connected["type"], "connected")
        self.assertEqual(connected["data"], {"client_id": "c1"})
        self.assertEqual((backends["type"], backends["data"]), ("backends", ["all"]))

    def test_takes_the_first_message_for_credentials(self) -> None:
        self.session.open(None, "backends", None)
        self.say(type="auth", token="t0k3n")
        [(token, answer)] = self.known.asked
        self.assertEqual((token, self.wire.written), ("t0k3n", []))
        answer.callback(VIEWER)
        self.assertEqual(self.wire.types(), ["connected", "backends"])
        self.pass_time(AUTH_DEADLINE_S)
        self.assertIsNone(self.wire.closed)

    def test_closes_when_nobody_says_who_is_there(self) -> None:
        self.session.open(None, "backends", None)
        self.clock.advance(AUTH_DEADLINE_S)
        assert self.wire.closed is not None
        self.assertEqual(self.wire.closed[0], 4401)

    def test_closes_on_wrong_credentials_and_on_any_other_first_message(self) -> None:
        self.session.open(None, "backends", None)
        self.say(type="auth", token="x")
        self.known.asked[0][1].callback(None)
        assert self.wire.closed is not None
        self.assertEqual(self.wire.closed[0], 4401)
        self.setUp()
        self.session.open(None, "backends", None)
        self.say(type="ping")
        assert self.wire.closed is not None
        self.assertEqual(self.wire.closed[0], 4401)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closes_when_credentials_cannot_be_verified(self) -> None:
        self.session.open(None, "backends", None)
        self.say(type="auth", token="x")
        self.known.asked[0][1].errback(RuntimeError("no store"))
        assert self.wire.closed is not None
        self.assertEqual(self.wire.closed[0], 4401)

    def test_says_nothing_to_whoever_left_meanwhile(self) -> None:
        self.session.open(None, "backends", None)
        self.say(type="auth", token="x")
        self.session.end()
        self.known.asked[0][1].callback(VIEWER)
        self.assertEqual((self.wire.written, len(self.feed)), ([], 0))

    def test_asks_once_at_a_time(self) -> None:
        self.session.open(None, "backends", None)
        self.say(type="auth", token="x")
        self.say(type="auth", token="y")
        self.assertEqual(len(self.known.asked), 1)

    def test_closes_on_whoever_may_not_watch(self) -> None:
        self.session.open(NOBODY, "backends", None)
        assert self.wire.closed is not None
        self.assertEqual(self.wire.closed[0], 4403)
        self.assertEqual(self.wire.written, [])

    def test_closes_when_the_admission_ends(self) -> None:
        """W4: a token that expires, and an account that is shut, in the middle of a stream."""
        cases: tuple[tuple[Principal, Standing, int], ...] = (
            (VIEWER, "over", 4401),
            (VIEWER, "shut", 4403),
            (replace(VIEWER, expires_at=1e9), "good", 4401),
        )
        for viewer, standing, code in cases:
            self.setUp()
            self.session.open(replace(viewer, expires_at=None), "backends", None)
            self.session.judge("good")
            self.assertIsNone(self.wire.closed)
            self.session.principal = viewer
            self.session.judge(standing)
            assert self.wire.closed is not None
            self.assertEqual(self.wire.closed[0], code)
            self.assertEqual(len(self.feed), 0)


class Talking(Case):
    def setUp(self) -> None:
        super().setUp()
        self.session.open(VIEWER, "status", None)
        self.wire.written.clear()

    def test_answers_a_ping(self) -> None:
        self.say(type="ping")
        self.assertEqual(self.wire.types(), ["pong"])

    def test_watches_several_channels(self) -> None:
        self.say(type="subscribe", channel="backends", filter={"pool": "app"})
        self.assertEqual([each["data"] for each in self.wire.written], [["app"]])
        self.wire.written.clear()
        self.pass_time(10)
        self.assertEqual(sorted(self.wire.types()), ["backends", "backends", "status"])
        self.say(type="unsubscribe", channel="backends")
        self.pass_time(10)
        self.assertEqual(self.wire.types(), ["status"])

    def test_says_which_channels_there_are(self) -> None:
        """W4: ten thousand topics cost no memory."""
        for number in range(10_000):
            self.say(type="subscribe", channel=f"c{number}")
        self.assertEqual(set(self.wire.types()), {"error"})
        self.assertEqual(len(self.feed), 1)

    def test_says_what_may_not_be_watched(self) -> None:
        self.setUp()
        self.session.principal = NOBODY
        self.say(type="subscribe", channel="backends")
        [error] = self.wire.written
        self.assertEqual(error["type"], "error")
        self.assertIn("pools:read", error["data"]["detail"])

    def test_sends_nothing_while_it_pauses(self) -> None:
        self.say(type="pause")
        self.pass_time(20)
        self.assertEqual(self.wire.written, [])
        self.say(type="resume")
        self.assertEqual(self.wire.types(), ["status"])
        self.say(type="resume")
        self.assertEqual(self.wire.types(), [])

    def test_sends_what_was_missed(self) -> None:
        self.say(type="subscribe", channel="backends")
        self.state = "ejected"
        self.pass_time(0.25)
        self.wire.written.clear()
        self.say(type="resync", channel="backends", seq=0)
        self.assertEqual(self.wire.types(), ["backend_status_update"])
        self.say(type="resync", seq=99)
        self.assertEqual(self.wire.types(), ["status"])

    def test_refuses_to_resync_what_is_not_watched(self) -> None:
        self.say(type="resync", channel="nothing", seq=0)
        self.assertEqual(self.wire.types(), ["error"])

    def test_answers_nonsense_with_an_error(self) -> None:
        for text in (
            b"", b"x", b"\xff", b"[]", b"{}", b'{"type":"shout"}', b'{"type":1}',
            b'{"type":"subscribe"}', b'{"type":"subscribe","channel":7}',
            b'{"type":"ping","more":1}', b"[" * 4000, b'{"type":"resync","seq":1e400}',
            b'{"type":"subscribe","channel":"status","filter":{"tenant_id":"x"}}',
        ):  # fmt: skip
            self.session.receive(text)
            self.assertEqual(self.wire.types(), ["error"], text)
        self.assertIsNone(self.wire.closed)

    def test_closes_on_whoever_says_too_much(self) -> None:
        """W3: a flood of pings, messages or empty fragments."""
        self.assertTrue(all(self.session.count() for _ in range(BURST)))
        self.assertFalse(self.session.count())
        assert self.wire.closed is not None
        self.assertEqual(self.wire.closed[0], 1008)

    def test_lets_somebody_speak_for_ever_at_a_moderate_rate(self) -> None:
        for _ in range(1000):
            self.assertTrue(self.session.count())
            self.clock.advance(0.06)


class Full(Case):
    def test_is_said_where_too_many_watch_each_in_their_own_way(self) -> None:
        for number in range(MAX_GROUPS):
            period_s = 1 + number / MAX_GROUPS
            self.feed.watch(Idle(), "backends", period_s=period_s)
        self.session.open(VIEWER, "status", 1.0)
        self.assertEqual(self.wire.types(), ["connected", "error"])
        self.say(type="subscribe", channel="backends", period=1)
        self.assertEqual(self.wire.types(), ["backends"])


class Reading(Case):
    def setUp(self) -> None:
        super().setUp()
        self.session.open(VIEWER, "status", 1)
        self.wire.written.clear()

    def test_gets_the_latest_state_when_it_reads_again(self) -> None:
        self.session.pause_writing()
        self.pass_time(3)
        self.assertEqual(self.wire.written, [])
        self.session.resume_writing()
        [status] = self.wire.written
        self.assertEqual((status["seq"], status["skipped"]), (3, 2))

    def test_is_given_up_when_it_reads_nothing(self) -> None:
        """W4: a slow subscriber."""
        self.session.pause_writing()
        self.pass_time(STALLED_S)
        assert self.wire.closed is not None
        self.assertEqual(self.wire.closed[0], 1013)
        self.assertEqual(len(self.feed), 0)

    def test_is_given_up_when_too_much_waits(self) -> None:
        self.session.pause_writing()
        for _ in range(300):
            self.say(type="ping")
        assert self.wire.closed is not None
        self.assertEqual(self.wire.closed[0], 1013)

    def test_leaves_no_timer_behind(self) -> None:
        self.session.pause_writing()
        self.session.end()
        self.pass_time(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
