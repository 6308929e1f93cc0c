import h11
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.corpus import chunks
from tests.support import messages
from tests.support.oracles import read_by_h11, read_by_llhttp
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.framing import Chunked, Counted, Framed, encode

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
PAYLOADS = st.lists(st.binary(min_size=1, max_size=40), max_size=6)
EXTENSIONS = st.sampled_from((b"", b";a", b";a=b", b' ; a = "b;\\"c"', b";a;b=c"))
TRAILERS = st.sampled_from((b"", b"X: y\r\n", b"X: y\r\nHost: a\r\nZ:\r\n"))
_GOOD = st.lists(
    st.sampled_from((b"5\r\nhello\r\n", b"1\r\nx\r\n", b"5;a=b\r\nhello\r\n")), max_size=3
).map(b"".join)
_ODD = st.one_of(
    st.just(b""),
    st.sampled_from((b"0\r\n\r\n", b"0\r\n", b"\r\n", b"\n", b"0x5\r\n", b"5\r\nhello\n", b"5")),
    st.binary(max_size=4),
)
# Good chunks around something that may be odd.
ALMOST = st.tuples(_GOOD, _ODD, _GOOD, st.sampled_from((b"0\r\n\r\n", b"", b"0\r"))).map(b"".join)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A chunked body in some spelling, and its payload."""
    payload = draw(PAYLOADS)
    coded = b""
    for chunk in payload:
        size = b"%x" % len(chunk)
        size = draw(st.sampled_from((size, size.upper(), size.rjust(5, b"0"))))
        coded += size + draw(EXTENSIONS) + b"\r\n" + chunk + b"\r\n"
    return coded + b"0" + draw(EXTENSIONS) + b"\r\n" + draw(TRAILERS) + b"\r\n", b"".join(payload)


def decode(wire: bytes, cuts: list[int]) -> tuple[bytes, bool, bytes, bytes]:
    """Feed in pieces: payload, whether it is done, trailers, and what is left."""
    decoder = Chunked()
    payload = b""
    given_pieces = messages.pieces(wire, cuts)
    while given_pieces:
        payload += decoder.feed(given_pieces.pop(0))
        if decoder.done:
            break
    return payload, decoder.done, decoder.trailers, decoder.rest + b"".join(given_pieces)


class ChunkedTests(SynchronousTestCase):
    @given(bodies(), st.binary(max_size=10), messages.CUTS)
    def test_any_split_gives_the_payload(
        self, body: tuple[bytes, bytes], after: bytes, cuts: list[int]
    ) -> None:
        wire, payload = body
        found, done, _, rest = decode(wire + after, cuts)
        self.assertEqual((found, done, rest), (payload, True, after))

    @given(bodies(), messages.CUTS)
    def test_any_split_gives_the_trailers(self, body: tuple[bytes, bytes], cuts: list[int]) -> None:
        self.assertEqual(decode(body[0], cuts)[2], decode(body[0], [])[2])

    @given(bodies(), messages.CUTS)
    def test_what_is_coded_again_means_the_same(
        self, body: tuple[bytes, bytes], cuts: list[int]
    ) -> None:
        wire, payload = body
        decoder = Chunked()
        coded = b"".join(
            encode(decoder.feed(piece), decoder) for piece in messages.pieces(wire, cuts)
        )
        self.assertEqual(decode(coded, [])[:3], (payload, True, decoder.trailers))
        for read in (read_by_h11, read_by_llhttp):
            (request,) = read(HEAD + coded)
            self.assertEqual(request.body, payload)
            trailers = b"".join(name + b"|" for name, _ in request.trailers)
            self.assertEqual(
                trailers,
                b"".join(
                    line.partition(b":")[0].lower() + b"|" for line in decoder.trailers.splitlines()
                ),
            )

    @given(ALMOST, messages.CUTS)
    def test_any_bytes_in_any_split_end_alike(self, wire: bytes, cuts: list[int]) -> None:
        try:
            whole = decode(wire, [])
        except ProtocolError as problem:
            self.assertEqual(problem.kind, "chunk")
            self.assertRaises(ProtocolError, decode, wire, cuts)
        else:
            self.assertEqual(decode(wire, cuts), whole)

    @given(ALMOST)
    def test_h11_takes_what_we_take(self, wire: bytes) -> None:
        try:
            payload, done, _, rest = decode(wire, [])
        except ProtocolError:
            return
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(HEAD + wire)
        connection.next_event()
        found = b""
        while isinstance(event := connection.next_event(), h11.Data):
            found += event.data
        self.assertEqual(found, payload)
        self.assertEqual(isinstance(event, h11.EndOfMessage), done)
        if done:
            self.assertEqual(connection.trailing_data[0], rest)

    def test_refuses_what_is_known_to_be_bad_in_any_split(self) -> None:
        """S11-S14"""
        for table in (chunks.SIZES, chunks.EXTENSIONS, chunks.ENDS, chunks.TRAILERS):
            for name, wire in table:
                for cut in range(min(len(wire), 300) if len(wire) < 10_000 else 3):
                    with self.assertRaises(ProtocolError, msg=name):
                        decode(wire, [cut])

    def test_an_error_has_the_side_it_came_from(self) -> None:
        """S25"""
        for status in (400, 502):
            with self.assertRaises(ProtocolError) as caught:
                Chunked(status).feed(b"nonsense\r\n")
            self.assertEqual(caught.exception.status, status)


class CountedTests(SynchronousTestCase):
    @given(st.binary(max_size=50), st.binary(max_size=10), messages.CUTS)
    def test_any_split_gives_the_payload(
        self, payload: bytes, after: bytes, cuts: list[int]
    ) -> None:
        decoder = Counted(len(payload))
        found = b""
        left = messages.pieces(payload + after, cuts)
        while left and not decoder.done:
            found += decoder.feed(left.pop(0))
        self.assertEqual((found, decoder.done), (payload, True))
        self.assertEqual(decoder.rest + b"".join(left), after)


class FramedTests(SynchronousTestCase):
    def test_ends_when_it_is_told(self) -> None:
        body = Framed()
        self.assertEqual(encode(body.feed(b"abc"), body), b"3\r\nabc\r\n")
        body.done, body.trailers = True, b"x-sum: 1\r\n"
        self.assertEqual(encode(body.feed(b""), body), b"0\r\nx-sum: 1\r\n\r\n")


class CostTests(SynchronousTestCase):
    """(i) no input makes 100 times its own size in work"""

    def test_trailers_byte_by_byte_are_looked_at_once(self) -> None:
        """S14"""
        calls: list[int] = []

        class Counting(bytes):
            """Counts how much of itself is searched."""

            def find(self, *args: int) -> int:  # type: ignore[override]
                calls.append(len(self) - args[1])
                return bytes.find(self, *args)

            def __add__(self, other: bytes) -> "Counting":
                return Counting(bytes.__add__(self, other))

            def __getitem__(self, key: slice) -> "Counting":  # type: ignore[override]
                return Counting(bytes.__getitem__(self, key))

        decoder = Chunked()
        for byte in b"0\r\nX: " + b"y" * 5000:
            decoder.feed(Counting((byte,)))
        self.assertGreater(len(calls), 5000)
        self.assertLess(sum(calls), 10 * len(calls))
