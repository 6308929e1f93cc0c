"""Clients that keep to the rules and mean harm: what they cost is bounded."""

from collections.abc import Callable, Sequence

from hpack import Encoder
from twisted.trial.unittest import SynchronousTestCase

from tests.core.wire.http2.raw import END, GET, POST, WHOLE, Peer, long
from veloflux.core.wire.http2 import frames
from veloflux.core.wire.http2.budget import Budget
from veloflux.core.wire.http2.error import Code
from veloflux.core.wire.http2.events import Came, Cancelled, Refused, Requested
from veloflux.core.wire.http2.frames import frame

CALM = Code.ENHANCE_YOUR_CALM
CANCEL = frames.reset


def block_of(fields: Sequence[tuple[bytes, bytes] | tuple[bytes, bytes, bool]]) -> bytes:
    """A block for a table with nothing in it; with a third member True a field leaves it so."""
    return bytes(Encoder().encode(list(fields)))


def _opens(wire: Callable[[int], bytes]) -> Callable[[Peer, int], bytes]:
    """A request whose body is to come, and what breaks it."""
    return lambda peer, n: peer.head(n, POST, WHOLE) + wire(n)


def _asks(wire: Callable[[int], bytes]) -> Callable[[Peer, int], bytes]:
    """A whole request, and what breaks it."""
    return lambda peer, n: peer.head(n) + wire(n)


def _counts(wire: Callable[[int], bytes]) -> Callable[[Peer, int], bytes]:
    """A request that announces two bytes, and what comes instead."""
    return lambda peer, n: peer.head(n, (*POST, (b"content-length", b"2")), WHOLE) + wire(n)


PROVOCATIONS: dict[str, tuple[Code, Callable[[Peer, int], bytes]]] = {
    "a window too large": (
        Code.FLOW_CONTROL_ERROR,
        _opens(lambda n: frames.window_update(n, (1 << 31) - 1)),
    ),
    "a window too large in two steps": (
        Code.FLOW_CONTROL_ERROR,
        _asks(lambda n: frames.window_update(n, 1 << 30) * 2),
    ),
    "a window that grows by nothing": (
        Code.PROTOCOL_ERROR,
        _opens(lambda n: frames.window_update(n, 0)),
    ),
    "a window of ours overrun": (
        Code.FLOW_CONTROL_ERROR,
        _opens(lambda n: frame(frames.DATA, 0, n, bytes(16_384)) * 5),
    ),
    "data after the end": (
        Code.STREAM_CLOSED,
        _asks(lambda n: frame(frames.DATA, 0, n, b"x")),
    ),
    "headers after the end": (
        Code.STREAM_CLOSED,
        _asks(lambda n: frame(frames.HEADERS, WHOLE | END, n, b"\x82")),
    ),
    "trailers that do not end it": (
        Code.PROTOCOL_ERROR,
        _opens(lambda n: frame(frames.HEADERS, WHOLE, n, b"\x00\x01x\x01y")),
    ),
    "trailers with a pseudo-field": (
        Code.PROTOCOL_ERROR,
        _opens(lambda n: frame(frames.HEADERS, WHOLE | END, n, b"\x82")),
    ),
    "a body that is too long": (
        Code.PROTOCOL_ERROR,
        _counts(lambda n: frame(frames.DATA, 0, n, b"xyz")),
    ),
    "a body that is too short": (
        Code.PROTOCOL_ERROR,
        _counts(lambda n: frame(frames.DATA, END, n, b"x")),
    ),
    "no body, and trailers": (
        Code.PROTOCOL_ERROR,
        _counts(lambda n: frame(frames.HEADERS, WHOLE | END, n, b"\x00\x01x\x01y")),
    ),
    "a body announced and none": (
        Code.PROTOCOL_ERROR,
        lambda peer, n: peer.head(n, (*POST, (b"content-length", b"2"))),
    ),
    "no fields at all": (
        Code.PROTOCOL_ERROR,
        lambda peer, n: frame(frames.HEADERS, WHOLE | END, n),
    ),
    "a name of nothing": (
        Code.PROTOCOL_ERROR,
        lambda peer, n: peer.head(n, (*GET, (b"", b""))),
    ),
    "a request without a method": (Code.PROTOCOL_ERROR, lambda peer, n: peer.head(n, GET[1:])),
    "a name in upper case": (
        Code.PROTOCOL_ERROR,
        lambda peer, n: peer.head(n, (*GET, (b"X", b"y"))),
    ),
    "a transfer coding": (
        Code.PROTOCOL_ERROR,
        lambda peer, n: peer.head(n, (*POST, (b"transfer-encoding", b"chunked")), WHOLE),
    ),
    "a priority of a wrong size": (
        Code.FRAME_SIZE_ERROR,
        _opens(lambda n: frame(frames.PRIORITY, 0, n, b"x")),
    ),
    "a stream that depends on itself": (
        Code.PROTOCOL_ERROR,
        _opens(lambda n: frame(frames.PRIORITY, 0, n, long(n) + b"\0")),
    ),
}


def until_calmed(peer: Peer, wire: Callable[[int], bytes], at_most: int = 3000) -> int:
    """After how many of `wire(n)` the connection ended with ENHANCE_YOUR_CALM."""
    for number in range(at_most):
        peer.say(wire(number))
        if peer.left_with() is not None:
            assert peer.left_with() is CALM, peer.left_with()
            return number
    return at_most


class Resets(SynchronousTestCase):
    def test_rapid_reset(self) -> None:
        """H1, CVE-2023-44487: a hundred at once, and no work was ever begun for them"""
        peer = Peer()

        def cancelled(number: int) -> bytes:
            return peer.head(2 * number + 1) + CANCEL(2 * number + 1, Code.CANCEL)

        self.assertEqual(until_calmed(peer, cancelled), 100)
        self.assertFalse([event for event in peer.events if isinstance(event, Requested)])

    def test_a_request_cancelled_later_is_told_of_and_counts(self) -> None:
        """H1: the same a packet later"""
        peer = Peer()
        for number in range(100):
            peer.ask(2 * number + 1)
            events = peer.say(CANCEL(2 * number + 1, Code.CANCEL))
            self.assertEqual(events, [Cancelled(2 * number + 1, Code.CANCEL, True)])
        peer.ask(201)
        peer.say(CANCEL(201, Code.CANCEL))
        self.assertEqual(peer.left_with(), CALM)

    def test_some_each_second_are_a_person_going_elsewhere(self) -> None:
        """H1: five a second for ever"""
        peer = Peer()
        for number in range(1000):
            peer.now = number / 5
            peer.ask(2 * number + 1)
            peer.say(CANCEL(2 * number + 1, Code.CANCEL))
        self.assertIsNone(peer.left_with())

    def test_of_many_requests_a_tenth_may_be_cancelled(self) -> None:
        """H1: another proxy has many clients on one connection, and some always go elsewhere"""
        for part, code in ((20, None), (5, CALM)):
            peer = Peer()
            for number in range(3000):
                stream = 2 * number + 1
                peer.ask(stream)
                if number % part:
                    peer.connection.answer(stream, b"200 OK", b"", ended=True)
                else:
                    peer.say(CANCEL(stream, Code.CANCEL))
            self.assertEqual(peer.left_with(), code)

    def test_made_you_reset(self) -> None:
        """H2, CVE-2025-8671: each way to make us send the reset counts the same"""
        for what, (code, provoke) in PROVOCATIONS.items():
            peer = Peer()
            begun = until_calmed(peer, lambda n: provoke(peer, 2 * n + 1))  # noqa: B023  # at once
            self.assertEqual(begun, 100, what)
            self.assertEqual({sent for _, sent in peer.resets()}, {code}, what)
            self.assertFalse([event for event in peer.events if isinstance(event, Requested)])

    def test_made_you_reset_a_packet_later(self) -> None:
        """H2: the work that was begun ends, each time"""
        peer = Peer()
        for number in range(1, 201, 2):
            peer.ask(number, POST, WHOLE)
            (event,) = peer.say(frames.window_update(number, 0))
            assert isinstance(event, Cancelled)
            self.assertEqual((event.stream, event.by_peer), (number, False))
        peer.ask(201, POST, WHOLE)
        peer.say(frames.window_update(201, 0))
        self.assertEqual(peer.left_with(), CALM)
        self.assertEqual(peer.connection.open_streams, 0)

    def test_too_many_streams(self) -> None:
        """H6: refused, so that they may be tried again, and that cannot go on for ever"""
        peer = Peer()
        for stream in range(1, 200, 2):
            self.assertIsInstance(peer.ask(stream)[0], Requested)
        peer.ask(201)
        self.assertEqual(peer.resets(), [(201, Code.REFUSED_STREAM)])
        peer.connection.answer(1, b"200 OK", b"", ended=True)
        self.assertIsInstance(peer.ask(203)[0], Requested)
        self.assertEqual(until_calmed(peer, lambda n: peer.head(2 * n + 205)), 99)

    def test_the_last_number_there_is(self) -> None:
        """H6: it is served, and nothing can be asked after it"""
        peer = Peer()
        peer.ask(frames.MAX_STREAM)
        self.assertIsInstance(peer.events[-1], Requested)
        peer.connection.answer(frames.MAX_STREAM, b"200 OK", b"", ended=True)
        self.assertIsNone(peer.left_with())
        peer.ask(1)
        self.assertEqual(peer.left_with(), Code.PROTOCOL_ERROR)

    def test_our_own_resets_do_not_count(self) -> None:
        """A backend that fails is not the client's fault"""
        peer = Peer()
        for number in range(500):
            peer.ask(2 * number + 1)
            peer.connection.reset(2 * number + 1)
        self.assertIsNone(peer.left_with())


class Blocks(SynchronousTestCase):
    def test_continuations_without_end(self) -> None:
        """H3, VU#421644: by their number, empty or not"""
        for piece in (b"", b"\x82"):
            peer = Peer()
            peer.say(frame(frames.HEADERS, END, 1, b"\x82"))
            self.assertTrue(peer.connection.is_amid_head)
            calmed = until_calmed(peer, lambda n: frame(frames.CONTINUATION, 0, 1, piece))  # noqa: B023  # at once
            self.assertEqual(calmed, 31)

    def test_continuations_without_measure(self) -> None:
        """H3: by their bytes, of which no more than a block's limit is kept"""
        peer = Peer()
        peer.say(frame(frames.HEADERS, END, 1, b"\x82" * 16384))
        piece = frame(frames.CONTINUATION, 0, 1, b"\x82" * 16384)
        self.assertEqual(until_calmed(peer, lambda n: piece), 2)

    def test_fields_out_of_few_bytes(self) -> None:
        """H4, CVE-2026-49975: references of a byte each are counted as they are read"""
        peer = Peer()
        peer.say(frame(frames.HEADERS, END | WHOLE, 1, b"\x82" * 16384))
        self.assertEqual(peer.left_with(), CALM)

    def test_large_fields_out_of_few_bytes(self) -> None:
        """H4: and so are the bytes that they stand for; within four times the limit it is 431"""
        peer = Peer()
        large = (b"x", b"y" * 4000)
        peer.ask(1, (*GET, large))
        (event,) = peer.ask(3, (*GET, *[large] * 30))
        assert isinstance(event, Refused)
        self.assertEqual(event.problem.status, 431)
        peer.ask(5, (*GET, *[large] * 60))
        self.assertEqual(peer.left_with(), CALM)

    def test_large_heads_that_are_held_together(self) -> None:
        """H4: what streams under way stand for is bounded by sixteen of the largest heads"""
        peer = Peer()
        references = b"\xbe" * 8
        ask = block_of((*POST, (b"x", b"y" * 4000))) + references[1:]
        peer.say(frame(frames.HEADERS, WHOLE, 1, ask))
        small = block_of(tuple((*field, True) for field in POST))
        literal = small + references
        for number in range(3, 41, 2):
            peer.say(frame(frames.HEADERS, WHOLE, number, literal))
        self.assertEqual(peer.resets()[0][1], Code.REFUSED_STREAM)
        begun = peer.connection.open_streams
        self.assertEqual(begun + len(peer.resets()), 20)
        self.assertEqual(begun, 16)
        # Small ones are served beside them, and one that is over makes room.
        (event,) = peer.say(frame(frames.HEADERS, WHOLE, 41, small))
        self.assertIsInstance(event, Requested)
        peer.connection.reset(1)
        (event,) = peer.say(frame(frames.HEADERS, WHOLE, 43, literal))
        self.assertIsInstance(event, Requested)
        peer.say(frame(frames.HEADERS, WHOLE, 45, literal))
        self.assertEqual(peer.resets()[-1], (45, Code.REFUSED_STREAM))
        self.assertIsNone(peer.left_with())
        self.assertEqual(
            until_calmed(peer, lambda n: frame(frames.HEADERS, WHOLE, 47 + 2 * n, literal)), 95
        )

    def test_large_trailers_that_are_held_together(self) -> None:
        """H4: those of a request count with its head"""
        peer = Peer()
        for number in range(1, 101, 2):
            peer.ask(number, POST, WHOLE)
        large = block_of(((b"x", b"y" * 4000),)) + b"\xbe" * 7
        for number in range(1, 51, 2):
            peer.say(frame(frames.HEADERS, WHOLE | END, number, large))
            large = b"\xbe" * 8
        self.assertEqual(
            {code for _, code in peer.resets()}, {Code.ENHANCE_YOUR_CALM}, peer.resets()
        )
        self.assertEqual(len(peer.resets()), 25 - 16)

    def test_sizes_of_the_table_over_and_over(self) -> None:
        peer = Peer()
        peer.say(frame(frames.HEADERS, END | WHOLE, 1, b"\x20" * 3 + b"\x82"))
        self.assertEqual(peer.left_with(), Code.COMPRESSION_ERROR)


class Controls(SynchronousTestCase):
    def test_frames_that_carry_nothing(self) -> None:
        """H5, CVE-2019-9511 to 9518"""
        floods: dict[str, bytes] = {
            "pings": frame(frames.PING, 0, 0, b"8" * 8),
            "answers to no ping": frame(frames.PING, frames.ACK, 0, b"8" * 8),
            "settings": frame(frames.SETTINGS, 0, 0),
            "acknowledged settings": frame(frames.SETTINGS, frames.ACK, 0),
            "empty data": frame(frames.DATA, 0, 1),
            "padding": frame(frames.DATA, frames.PADDED, 1, b"\0"),
            "priorities": frame(frames.PRIORITY, 0, 1, long(3) + b"\0"),
            "dribbled windows": frames.window_update(0, 1),
            "a stream's dribbled windows": frames.window_update(1, 1),
            "goaway": frame(frames.GOAWAY, 0, 0, long(0, 0)),
            "unknown kinds": frame(0x77, 0, 0),
            "resets of what is gone": frames.reset(3, Code.CANCEL),
            "data for what is gone": frame(frames.DATA, 0, 3, b""),
        }
        for what, wire in floods.items():
            peer = Peer()
            peer.ask(1, POST, WHOLE)
            peer.ask(3, POST, WHOLE)
            peer.connection.reset(3)
            calmed = until_calmed(peer, lambda n: wire)  # noqa: B023  # at once
            # Small updates come in pairs, and count as halves.
            most = 1010 if "windows" in what else 510
            self.assertTrue(200 < calmed <= most, (what, calmed))

    def test_one_frame_full_of_settings(self) -> None:
        """H5, quart#28"""
        peer = Peer()
        peer.say(frame(frames.SETTINGS, 0, 0, b"\0\x04\0\0\0\x01" * 2400))
        self.assertEqual(peer.left_with(), CALM)

    def test_some_each_second_are_an_anxious_client(self) -> None:
        peer = Peer()
        for number in range(2000):
            peer.now = number / 50
            peer.say(frame(frames.PING, 0, 0, b"8" * 8))
        self.assertIsNone(peer.left_with())

    def test_each_frame_may_be_acknowledged(self) -> None:
        """As some do for small ones too: for the stream, and for the connection"""
        peer = Peer()
        peer.ask(1)
        peer.connection.answer(1, b"200 OK", b"")
        for _ in range(2000):
            peer.connection.data(1, b"x" * 50)
            peer.say(frames.window_update(0, 50) + frames.window_update(1, 50))
        self.assertIsNone(peer.left_with())

    def test_honest_requests_pay_for_their_updates(self) -> None:
        """A client that acknowledges each small answer by itself is no flood"""
        peer = Peer()
        for number in range(3000):
            peer.ask(2 * number + 1)
            peer.connection.answer(2 * number + 1, b"200 OK", b"")
            peer.connection.data(2 * number + 1, b"x" * 100, ended=True)
            peer.say(frames.window_update(2 * number + 1, 100) + frames.window_update(0, 100))
        self.assertIsNone(peer.left_with())

    def test_bytes_one_by_one_come_together(self) -> None:
        """H5: a body in the smallest frames costs a backend no write for each"""
        peer = Peer()
        wire = b"".join(frame(frames.DATA, 0, 1, b"%d" % (n % 10)) for n in range(3000))
        peer.ask(1, POST, WHOLE)
        peer.ask(3, POST, WHOLE)
        events = peer.say(wire + frame(frames.DATA, 0, 3, b"a") + frame(frames.DATA, END, 1, b"b"))
        self.assertLess(len(events), 6)
        self.assertEqual(events[-2:], [Came(3, b"a", False), Came(1, b"b", True)])
        whole = b"".join(e.data for e in events if isinstance(e, Came) and e.stream == 1)
        self.assertEqual(whole, b"0123456789" * 300 + b"b")

    def test_small_pieces_in_one_read_are_one(self) -> None:
        """Looked at one by one, the frames that fit in 64 KiB would hold up everybody."""
        peer = Peer()
        peer.ask(1, POST, WHOLE)
        pieces = [b"%d" % number for number in range(3000)]
        wire = b"".join(frame(frames.DATA, 0, 1, piece) for piece in pieces)
        half = frame(frames.DATA, 0, 1, b"rest")
        events = peer.say(wire + half[:-1])
        self.assertEqual(events, [Came(1, b"".join(pieces), False)])
        self.assertEqual(peer.say(half[-1:]), [Came(1, b"rest", False)])

    def test_empty_ones_count_also_between_small_ones(self) -> None:
        peer = Peer()
        peer.ask(1, POST, WHOLE)
        both = frame(frames.DATA, 0, 1, b"x") + frame(frames.DATA, 0, 1)
        self.assertLess(until_calmed(peer, lambda _: both), 3000)

    def test_nothing_more_is_read_after_the_end(self) -> None:
        peer = Peer()
        until_calmed(peer, lambda n: frame(frames.PING, 0, 0, b"8" * 8))
        peer.frames.clear()
        self.assertEqual(peer.say(peer.head(1)), [])
        self.assertEqual(peer.frames, [])


class Budgets(SynchronousTestCase):
    def test_lets_a_burst_through_and_a_rate(self) -> None:
        budget = Budget(3, 2, 10.0)
        self.assertEqual([budget.spend(1, 10.0) for _ in range(4)], [True, True, True, False])
        self.assertEqual([budget.spend(1, 11.0) for _ in range(2)], [True, False])

    def test_saves_no_more_than_a_burst(self) -> None:
        budget = Budget(3, 2, 0.0)
        self.assertFalse(budget.spend(4, 1000.0))
        budget.refund(100)
        self.assertEqual([budget.spend(1, 1000.0) for _ in range(4)], [True, True, True, False])

    def test_a_clock_that_stands_grants_nothing(self) -> None:
        budget = Budget(1, 5, 10.0)
        self.assertTrue(budget.spend(1, 9.0))
        self.assertFalse(budget.spend(1, 9.5))
