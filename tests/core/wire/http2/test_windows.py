"""Windows, in both directions, and whose turn it is."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.core.wire.http2.raw import END, GET, POST, WHOLE, Peer, long
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.http2 import frames
from veloflux.core.wire.http2.error import Code
from veloflux.core.wire.http2.events import Came, Drained
from veloflux.core.wire.http2.frames import frame
from veloflux.core.wire.http2.settings import Terms


def initial_window(size: int) -> bytes:
    return frame(frames.SETTINGS, 0, 0, b"\0\x04" + long(size))


def data(peer: Peer) -> list[tuple[int, int, bool]]:
    """The DATA frames heard since the last time: stream, bytes, whether it is the end."""
    peer.listen()
    found = [(d.stream_id, len(d.data), "END_STREAM" in d.flags) for d in peer.heard("Data")]
    peer.frames.clear()
    return found


def answer(peer: Peer, stream: int, size: int, *, ended: bool = True) -> None:
    peer.connection.answer(stream, b"200 OK", b"")
    peer.connection.data(stream, b"x" * size, ended=ended)


class ToTheClient(SynchronousTestCase):
    def test_sends_no_more_than_the_client_allows(self) -> None:
        """L5: what is over the window waits, and is counted"""
        peer = Peer()
        peer.say(initial_window(10) + peer.head(1))
        answer(peer, 1, 25)
        self.assertEqual(data(peer), [(1, 10, False)])
        self.assertEqual((peer.connection.unsent(1), peer.connection.waiting), (15, 15))
        self.assertEqual(peer.say(frames.window_update(1, 14)), [])
        self.assertEqual(data(peer), [(1, 14, False)])
        peer.say(frames.window_update(1, 1))
        self.assertEqual(data(peer), [(1, 1, True)])
        self.assertEqual((peer.connection.open_streams, peer.connection.waiting), (0, 0))

    def test_tells_when_more_is_welcome(self) -> None:
        peer = Peer()
        peer.say(initial_window(1) + peer.head(1))
        answer(peer, 1, 3, ended=False)
        self.assertEqual(peer.say(frames.window_update(1, 1)), [])
        self.assertEqual(peer.say(frames.window_update(1, 1)), [Drained(1)])
        peer.connection.data(1, b"", ended=True)
        self.assertEqual(data(peer)[-1:], [(1, 0, True)])

    def test_a_window_can_be_negative(self) -> None:
        """6.9.2: a smaller initial window takes back what was granted"""
        peer = Peer()
        peer.say(initial_window(10) + peer.head(1))
        answer(peer, 1, 30)
        peer.say(initial_window(3))
        self.assertEqual(data(peer), [(1, 10, False)])
        peer.say(frames.window_update(1, 7))
        self.assertEqual(data(peer), [])
        peer.say(frames.window_update(1, 1))
        self.assertEqual(data(peer), [(1, 1, False)])
        peer.say(initial_window(22))
        self.assertEqual(data(peer), [(1, 19, True)])

    def test_an_end_needs_no_window(self) -> None:
        peer = Peer()
        peer.say(initial_window(0) + peer.head(1) + peer.head(3))
        answer(peer, 1, 0)
        peer.connection.answer(3, b"200 OK", b"")
        peer.connection.trailers(3, b"X: y\r\n")
        self.assertEqual(data(peer), [(1, 0, True)])
        self.assertEqual(peer.connection.open_streams, 0)

    def test_streams_take_turns(self) -> None:
        """A frame each, when they wait for the connection's window"""
        peer = Peer()
        peer.say(initial_window(1 << 20) + peer.head(1) + peer.head(3))
        answer(peer, 1, 100_000)
        answer(peer, 3, 40_000)
        self.assertEqual(sum(size for _, size, _ in data(peer)), 65535)
        peer.say(frames.window_update(0, 1 << 20))
        self.assertEqual(
            data(peer),
            [
                (1, 16384, False),
                (3, 16384, False),
                (1, 16384, False),
                (3, 16384, False),
                (1, 1697, True),
                (3, 7232, True),
            ],
        )

    def test_one_without_a_window_does_not_hold_up_the_others(self) -> None:
        peer = Peer()
        peer.say(initial_window(5) + peer.head(1) + peer.head(3))
        answer(peer, 1, 6)
        answer(peer, 3, 5)
        self.assertEqual(data(peer), [(1, 5, False), (3, 5, True)])

    def test_trailers_wait_for_the_data(self) -> None:
        peer = Peer()
        peer.say(initial_window(1) + peer.head(1))
        answer(peer, 1, 2, ended=False)
        peer.connection.trailers(1, b"X-Sum: 1\r\nConnection: close\r\n")
        self.assertEqual(peer.connection.open_streams, 1)
        peer.frames.clear()
        peer.say(frames.window_update(1, 1))
        last_data, last = peer.frames[-2:]
        self.assertEqual((last_data.flags, last.flags), (set(), {"END_HEADERS", "END_STREAM"}))
        self.assertEqual(peer.connection.open_streams, 0)

    def test_holds_back_while_the_transport_is_full(self) -> None:
        """L5: fairness and memory are this side's, not the socket's"""
        peer = Peer()
        peer.say(b"".join(peer.head(stream) for stream in (1, 3, 5)))
        connection = peer.connection
        connection.hold()
        answer(peer, 1, 5)
        answer(peer, 3, 5, ended=False)
        answer(peer, 5, 0)
        self.assertEqual(data(peer), [])
        self.assertEqual(connection.waiting, 10)
        self.assertEqual(connection.release(), [Drained(1), Drained(3), Drained(5)])
        self.assertEqual(data(peer), [(1, 5, True), (3, 5, False), (5, 0, True)])
        self.assertEqual((connection.open_streams, connection.waiting), (1, 0))

    def test_what_waits_for_a_stream_that_is_reset_is_forgotten(self) -> None:
        peer = Peer()
        peer.say(initial_window(0) + peer.head(1))
        answer(peer, 1, 1000)
        peer.say(frames.reset(1, Code.CANCEL))
        self.assertEqual(peer.connection.waiting, 0)
        peer.say(initial_window(5000))
        self.assertEqual(data(peer), [])

    def test_small_answers_keep_to_the_connections_window(self) -> None:
        peer = Peer()
        peer.say(b"".join(peer.head(stream) for stream in range(1, 15, 2)))
        for stream in range(1, 15, 2):
            answer(peer, stream, 10_000)
        self.assertEqual([size for _, size, _ in data(peer)], [10_000] * 6 + [5535])
        peer.say(frames.window_update(0, 10_000))
        self.assertEqual(data(peer), [(13, 4465, True)])

    def waiting_for_the_connection(self) -> Peer:
        """Stream 3 has a window, and the connection has none."""
        peer = Peer()
        peer.say(peer.head(1) + peer.head(3))
        answer(peer, 3, 10, ended=False)
        answer(peer, 1, 65_525)
        peer.connection.data(3, b"x" * 100, ended=True)
        self.assertEqual(sum(size for _, size, _ in data(peer)), 65_535)
        return peer

    def test_a_stream_whose_window_is_taken_back_loses_its_turn(self) -> None:
        peer = self.waiting_for_the_connection()
        peer.say(initial_window(0))
        peer.say(frames.window_update(0, 1000))
        self.assertEqual(data(peer), [])
        peer.say(frames.window_update(3, 110))
        self.assertEqual(data(peer), [(3, 100, True)])

    def test_a_stream_that_is_reset_loses_its_turn(self) -> None:
        peer = self.waiting_for_the_connection()
        peer.say(frames.reset(3, Code.CANCEL) + frames.window_update(0, 1000))
        peer.ask(5)
        answer(peer, 5, 1100)
        self.assertEqual(data(peer), [(5, 1000, False)])

    def test_nothing_comes_after_the_end(self) -> None:
        """Whatever is said after it, while the end waits for a window"""
        peer = Peer()
        peer.say(initial_window(1) + peer.head(1))
        answer(peer, 1, 2)
        peer.connection.data(1, b"more")
        peer.connection.trailers(1, b"X: y\r\n")
        peer.say(frames.window_update(1, 100))
        self.assertEqual(data(peer), [(1, 1, False), (1, 1, True)])
        self.assertEqual(peer.connection.open_streams, 0)

    def test_the_first_block_gives_up_the_table(self) -> None:
        """7541 4.2: then no size that the client allows is exceeded"""
        peer = Peer()
        blocks = []
        for stream in (1, 3):
            peer.ask(stream)
            peer.frames.clear()
            peer.connection.answer(stream, b"200 OK", b"", ended=True)
            blocks.append(peer.listen()[0].data)
        self.assertEqual(blocks, [b"\x20\x88", b"\x88"])

    def test_no_body_goes_with_an_answer_that_has_none(self) -> None:
        """HEAD, 204 and 304 end with their head, and keep their length"""
        head = ((b":method", b"HEAD"), *GET[1:])
        for fields, status in ((head, b"200 OK"), (GET, b"204 No"), (GET, b"304 Not")):
            peer = Peer()
            peer.ask(1, fields)
            peer.connection.answer(1, status, b"Content-Length: 5\r\n")
            peer.connection.data(1, b"hello", ended=True)
            self.assertEqual(data(peer), [])
            self.assertEqual(peer.connection.open_streams, 0)

    def test_interim_answers_come_before_the_real_one(self) -> None:
        peer = Peer()
        peer.ask(1, POST, WHOLE)
        peer.connection.interim(1, b"100 Continue", b"")
        peer.connection.interim(1, b"103 Early Hints", b"Link: </a>; rel=preload\r\n")
        peer.connection.answer(1, b"200 OK", b"", request_id=b"id-1")
        peer.listen()
        found = [peer.fields(head) for head in peer.heard("Headers")]
        self.assertEqual(
            found,
            [
                [(b":status", b"100")],
                [(b":status", b"103"), (b"link", b"</a>; rel=preload")],
                [(b":status", b"200"), (b"x-request-id", b"id-1")],
            ],
        )

    def test_a_line_that_is_none_is_not_written(self) -> None:
        """S26, H8: and there is still an answer to give"""
        for lines in (
            b"A: b\r\nc\r\n",
            b"A: b\nC: d\r\n",
            b"A : b\r\n",
            b"A: \0\r\n",
            b"A: b",
            b"\r\n",
        ):
            peer = Peer()
            peer.ask(1)
            peer.frames.clear()
            self.assertRaises(ProtocolError, peer.connection.answer, 1, b"200 OK", lines)
            self.assertEqual(peer.listen(), [])
            peer.connection.answer(1, b"502 Bad Gateway", b"", ended=True)
            self.assertEqual(len(peer.listen()), 1)

    def test_a_long_head_goes_in_pieces(self) -> None:
        peer = Peer()
        peer.ask(1)
        peer.connection.answer(1, b"200 OK", b"X: %b\r\n" % (b"y" * 40_000), ended=True)
        peer.listen()
        (head,) = peer.heard("Headers")
        rest = peer.heard("Continuation")
        self.assertEqual([len(piece.data) // 16384 for piece in (head, *rest)], [1, 1, 0])
        self.assertEqual((head.flags, rest[-1].flags), ({"END_STREAM"}, {"END_HEADERS"}))
        head.data += b"".join(piece.data for piece in rest)
        self.assertEqual(peer.fields(head)[1], (b"x", b"y" * 40_000))


class FromTheClient(SynchronousTestCase):
    def grown(self, peer: Peer) -> list[tuple[int, int]]:
        peer.listen()
        found = [(w.stream_id, w.window_increment) for w in peer.heard("WindowUpdate")]
        peer.frames.clear()
        return found

    def test_grants_again_what_is_used_up(self) -> None:
        """Nothing is granted before the caller says so, and then by halves"""
        peer = Peer()
        peer.ask(1, POST, WHOLE)
        for _ in range(4):
            peer.say(frame(frames.DATA, 0, 1, b"x" * 16384))
        self.assertEqual(self.grown(peer), [])
        peer.connection.acknowledge(1, 32767)
        self.assertEqual(self.grown(peer), [])
        peer.connection.acknowledge(1, 1)
        self.assertEqual(self.grown(peer), [(1, 32768)])

    def test_grants_nothing_to_a_stream_that_its_client_has_ended(self) -> None:
        """Only the connection's bytes are of use then"""
        peer = Peer(terms=Terms(connection_window=65_536))
        peer.ask(1, POST, WHOLE)
        for flags in (0, 0, END):
            peer.say(frame(frames.DATA, flags, 1, b"x" * 16384))
        peer.connection.acknowledge(1, 3 * 16384)
        self.assertEqual(self.grown(peer), [(0, 3 * 16384)])

    def test_a_stream_that_overruns_its_window_is_reset(self) -> None:
        """6.9.1; the others go on"""
        peer = Peer()
        peer.ask(1, POST, WHOLE)
        peer.ask(3, POST, WHOLE)
        for _ in range(4):
            peer.say(frame(frames.DATA, 0, 1, b"x" * 16384))
        peer.say(frame(frames.DATA, 0, 1, b"x"))
        self.assertEqual(peer.resets(), [(1, Code.FLOW_CONTROL_ERROR)])
        self.assertEqual(peer.say(frame(frames.DATA, END, 3, b"x")), [Came(3, b"x", True)])

    def test_a_connection_that_overruns_its_window_ends(self) -> None:
        peer = Peer(terms=Terms(connection_window=70_000))
        peer.ask(1, POST, WHOLE)
        peer.ask(3, POST, WHOLE)
        for stream in (1, 1, 1, 3):
            peer.say(frame(frames.DATA, 0, stream, b"x" * 16384))
        self.assertIsNone(peer.left_with())
        peer.say(frame(frames.DATA, 0, 3, b"x" * 4465))
        self.assertEqual(peer.left_with(), Code.FLOW_CONTROL_ERROR)

    def test_padding_is_used_up_at_once(self) -> None:
        peer = Peer()
        peer.ask(1, POST, WHOLE)
        for _ in range(129):
            self.assertEqual(
                peer.say(frame(frames.DATA, frames.PADDED, 1, b"\xff" + b"x" + b"\0" * 255)),
                [Came(1, b"x", False)],
            )
        self.assertEqual(self.grown(peer), [(1, 32768)])

    def test_what_nobody_will_use_is_granted_again(self) -> None:
        """A stream that is gone takes nothing of the connection's window with it"""
        peer = Peer(terms=Terms(connection_window=65_536))
        for stream in range(1, 200, 2):
            peer.ask(stream, POST, WHOLE)
            peer.say(frame(frames.DATA, 0, stream, b"x" * 16384))
            peer.connection.acknowledge(stream, 1000)
            if stream % 4 == 1:
                peer.connection.reset(stream)
            else:
                answer(peer, stream, 1)
            peer.connection.acknowledge(stream, 16384)
        self.assertIsNone(peer.left_with())

    def test_a_body_that_nobody_wants_is_taken_and_dropped(self) -> None:
        """The answer to a refused request is not held up by its body"""
        peer = Peer(terms=Terms(connection_window=65_536))
        peer.ask(1, (*POST[:2], (b":path", b"/%2f"), POST[3]), WHOLE)
        for _ in range(20):
            self.assertEqual(peer.say(frame(frames.DATA, 0, 1, b"x" * 16384)), [])
        self.assertEqual((peer.left_with(), peer.resets()), (None, []))


class Arithmetic(SynchronousTestCase):
    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("ask"), st.integers(0, 60_000)),
                st.tuples(st.just("stream"), st.integers(1, 5000)),
                st.tuples(st.just("connection"), st.integers(1, 40_000)),
                st.tuples(st.just("initial"), st.integers(0, 50_000)),
                st.tuples(st.just("hold"), st.integers(0, 1)),
            ),
            max_size=30,
        )
    )
    def test_never_sends_over_any_window_and_leaves_nothing_unsent_within(
        self, steps: list[tuple[str, int]]
    ) -> None:
        """Random windows against a ledger of their own"""
        peer = Peer()
        initial, connection_window = 65_535, 65_535
        windows: dict[int, int] = {}
        owed: dict[int, int] = {}
        stream, is_held = 1, False
        for what, size in steps:
            if what == "ask":
                peer.ask(stream)
                windows[stream], owed[stream] = initial, size
                answer(peer, stream, size)
                stream += 2
            elif what == "stream" and windows:
                chosen = min(windows) + 2 * (size % len(windows))
                peer.say(frames.window_update(chosen, size))
                windows[chosen] += size
            elif what == "connection":
                peer.say(frames.window_update(0, size))
                connection_window += size
            elif what == "initial":
                peer.say(initial_window(size))
                for number in windows:
                    windows[number] += size - initial
                initial = size
            elif what == "hold":
                is_held = bool(size)
                peer.connection.hold() if is_held else peer.connection.release()
            for number, sent, is_end in data(peer):
                windows[number] -= sent
                connection_window -= sent
                owed[number] -= sent
                self.assertGreaterEqual(connection_window, 0)
                if sent:
                    self.assertGreaterEqual(windows[number], 0)
                self.assertEqual(is_end, owed[number] == 0)
            self.assertIsNone(peer.left_with())
            self.assertEqual(peer.connection.waiting, sum(owed.values()))
            if not is_held and connection_window > 0:
                self.assertFalse([n for n in owed if owed[n] and windows[n] > 0])
