"""What becomes of a request's fields: HTTP/2's rules on them, and HTTP/1.1's grammar after that."""

from base64 import b64encode

import h11
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.core.wire.http2.raw import END, GET, KEY, POST, WHOLE, Field, Peer
from tests.support.oracles import read_by_llhttp
from veloflux.core.model.traffic import Limits
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.http1 import RequestHead
from veloflux.core.wire.http2.error import BrokenStreamError, Code
from veloflux.core.wire.http2.events import Came, Refused, Requested
from veloflux.core.wire.http2.frames import HEADERS, frame
from veloflux.core.wire.http2.translation import opening, trailers
from veloflux.core.wire.upgrade import check_handshake

METHOD, SCHEME, PATH, AUTHORITY = GET
HOST = (b"host", b"a.example")
CONNECT = (b":method", b"CONNECT")
PROTOCOL = (b":protocol", b"websocket")
TUNNEL: tuple[Field, ...] = (
    CONNECT,
    PROTOCOL,
    SCHEME,
    (b":path", b"/chat"),
    AUTHORITY,
    (b"sec-websocket-version", b"13"),
)

MALFORMED: dict[str, tuple[Field, ...]] = {
    "8.2.1 an upper-case name": (*GET, (b"X-Test", b"ok")),
    "8.2.1 no name": (*GET, (b"", b"ok")),
    "8.2.1 a colon in a name": (*GET, (b"a:b", b"ok")),
    "8.2.1 a space in a name": (*GET, (b"a b", b"ok")),
    "8.2.1 a name that goes on with a line": (*GET, (b"a\r\nb", b"ok")),
    "8.2.1 a name that is not ASCII": (*GET, (b"\xff", b"ok")),
    "8.2.1 NUL in a value": (*GET, (b"a", b"b\0c")),
    "8.2.1 CR in a value": (*GET, (b"a", b"b\rc")),
    "8.2.1 LF in a value": (*GET, (b"a", b"b\nc")),
    "8.2.1 a line in a value": (*GET, (b"a", b"b\r\ntransfer-encoding: chunked")),
    "8.2.1 a request in a value": (*GET, (b"a", b"b\r\n\r\nGET /admin HTTP/1.1\r\nx: y")),
    "8.2.1 another control character": (*GET, (b"a", b"b\x0bc")),
    "8.2.1 a space before a value": (*GET, (b"a", b" b")),
    "8.2.1 a tab after a value": (*GET, (b"a", b"b\t")),
    "8.2.2 connection": (*GET, (b"connection", b"keep-alive")),
    "8.2.2 proxy-connection": (*GET, (b"proxy-connection", b"keep-alive")),
    "8.2.2 keep-alive": (*GET, (b"keep-alive", b"5")),
    "8.2.2 upgrade": (*GET, (b"upgrade", b"websocket")),
    "8.2.2 transfer-encoding (H2.TE)": (*POST, (b"transfer-encoding", b"chunked")),
    "8.2.2 transfer-encoding beside a length": (
        *POST,
        (b"content-length", b"0"),
        (b"transfer-encoding", b"chunked"),
    ),
    "8.2.2 transfer-encoding of nothing": (*POST, (b"transfer-encoding", b"")),
    "8.2.1 transfer-encoding and a space": (*POST, (b"transfer-encoding ", b"chunked")),
    "8.2.1 transfer-encoding and a tab": (*POST, (b"transfer-encoding\t", b"chunked")),
    "8.2.1 transfer-encoding after a space": (*POST, (b" transfer-encoding", b"chunked")),
    "8.2.1 transfer-encoding with its colon": (*POST, (b"transfer-encoding:chunked\r\nx", b"y")),
    "8.2.1 Transfer-Encoding": (*POST, (b"Transfer-Encoding", b"chunked")),
    "8.2.1 content-length and a space": (*POST, (b"content-length ", b"5")),
    "8.2.1 LF and a coding in a value": (*POST, (b"a", b"b\ntransfer-encoding: chunked")),
    "8.2.1 CR and a coding in a value": (*POST, (b"a", b"b\rtransfer-encoding: chunked")),
    "8.2.1 folded": (*GET, (b"a", b"b\r\n c")),
    "8.2.1 a line's end at the end": (*GET, (b"a", b"b\r\n")),
    "8.2.2 te": (*GET, (b"te", b"trailers, deflate")),
    "8.2.3 a line in a crumb": (*GET, (b"cookie", b"a=b\r\nx: y")),
    "8.2.3 a space after a crumb": (*GET, (b"cookie", b"a=b "), (b"cookie", b"c=d")),
    "8.2.3 a space before a crumb": (*GET, (b"cookie", b"a=b"), (b"cookie", b" c=d")),
    "8.3 an unknown pseudo-field": (*GET, (b":test", b"ok")),
    "8.3 that of an answer": (*GET, (b":status", b"200")),
    "8.3 one after a field": (METHOD, SCHEME, AUTHORITY, (b"a", b"b"), PATH),
    "8.3.1 no method": GET[1:],
    "8.3.1 no scheme": (METHOD, PATH, AUTHORITY),
    "8.3.1 no path": (METHOD, SCHEME, AUTHORITY),
    "8.3.1 two methods": (METHOD, *GET),
    "8.3.1 two schemes": (SCHEME, *GET),
    "8.3.1 two paths": (PATH, *GET),
    "8.3.1 two authorities": (AUTHORITY, *GET),
    "8.3.1 an empty path": (METHOD, SCHEME, (b":path", b""), AUTHORITY),
    "8.3.1 a star": (METHOD, SCHEME, (b":path", b"*"), AUTHORITY),
    "8.3.1 an absolute path": (METHOD, SCHEME, (b":path", b"http://evil/"), AUTHORITY),
    "8.3.1 a path without a slash": (METHOD, SCHEME, (b":path", b"a"), AUTHORITY),
    "8.3.1 a space in a path": (METHOD, SCHEME, (b":path", b"/ HTTP/1.1"), AUTHORITY),
    "8.3.1 a line in a path": (METHOD, SCHEME, (b":path", b"/ HTTP/1.1\r\nx: y"), AUTHORITY),
    "8.3.1 a path that is not ASCII": (METHOD, SCHEME, (b":path", b"/\xe9"), AUTHORITY),
    "8.3.1 a space in a method": ((b":method", b"GET /admin"), *GET[1:]),
    "8.3.1 a line in a method": ((b":method", b"GET / HTTP/1.1\r\nx: y\r\n\r\nGET"), *GET[1:]),
    "8.3.1 an empty method": ((b":method", b""), *GET[1:]),
    "8.3.1 another scheme": (METHOD, (b":scheme", b"ftp"), PATH, AUTHORITY),
    "8.3.1 a host in a scheme": (METHOD, (b":scheme", b"http://evil/?"), PATH, AUTHORITY),
    "8.3.1 a host that is not the authority": (*GET, (b"host", b"b.example")),
    "8.3.1 two hosts": (*GET, HOST, HOST),
    "8.1.1 a length and no body": (*GET, (b"content-length", b"1")),
    "8.1.1 two lengths": (*GET, (b"content-length", b"0"), (b"content-length", b"0")),
    "8.1.1 a length that is none": (*GET, (b"content-length", b"+0")),
    **{
        f"8.1.1 a length of {value!r}": (*POST, (b"content-length", value))
        for value in (b"", b"0, 0", b"0,0", b"-0", b"0x0", b"0_0", "٠".encode(), b"00", b"\xb2")
    },
    "8.3.1 a tab in a path": (METHOD, SCHEME, (b":path", b"/\tHTTP/1.1"), AUTHORITY),
    "8.3.1 NUL in a path": (METHOD, SCHEME, (b":path", b"/\0"), AUTHORITY),
    "8.3.1 an authority as a path": (METHOD, SCHEME, (b":path", b"a.example:80"), AUTHORITY),
    "8.3.1 a star for another method": (METHOD, SCHEME, (b":path", b"*/x"), AUTHORITY),
    "8.3.1 a colon in a method": ((b":method", b"GET:"), *GET[1:]),
    "8.3.1 a line in a scheme": (METHOD, (b":scheme", b"http\r\nx: y"), PATH, AUTHORITY),
    "8.3.1 a scheme in upper case": (METHOD, (b":scheme", b"HTTP"), PATH, AUTHORITY),
    "8441 a line in a protocol": (CONNECT, (b":protocol", b"websocket\r\nx: y"), *GET[1:]),
    "8.5 CONNECT with a path": (CONNECT, PATH, AUTHORITY),
    "8.5 CONNECT with a scheme": (CONNECT, SCHEME, AUTHORITY),
    "8.5 CONNECT without an authority": (CONNECT,),
    "8441 a protocol with another method": (METHOD, PROTOCOL, *GET[1:]),
    "8441 a protocol that was not offered": TUNNEL,
}

REFUSED: dict[str, tuple[int, tuple[Field, ...]]] = {
    "S21 no host at all": (400, GET[:3]),
    "S21 an empty authority": (400, (*GET[:3], (b":authority", b""))),
    "S21 a user in an authority": (400, (*GET[:3], (b":authority", b"u@a.example"))),
    "S21 a line in an authority": (400, (*GET[:3], (b":authority", b"a\r\nx: y"))),
    "S21 a bad port": (400, (*GET[:3], (b":authority", b"a:99999"))),
    "S22 an escaped slash": (400, (METHOD, SCHEME, (b":path", b"/a%2fb"), AUTHORITY)),
    "S22 above the root": (400, (METHOD, SCHEME, (b":path", b"/../a"), AUTHORITY)),
    "S22 dots and a parameter": (400, (METHOD, SCHEME, (b":path", b"/a/..;/b"), AUTHORITY)),
    "S21 two authorities in one": (400, (*GET[:3], (b":authority", b"a.example,b.example"))),
    "S21 a space in an authority": (400, (*GET[:3], (b":authority", b"a.example b"))),
    "S21 a path in an authority": (400, (*GET[:3], (b":authority", b"a.example/x"))),
    "S22 a fragment": (400, (METHOD, SCHEME, (b":path", b"/a#b"), AUTHORITY)),
    "S20 a long path": (414, (METHOD, SCHEME, (b":path", b"/" + b"a" * 8192), AUTHORITY)),
    "L1 a long field": (431, (*GET, (b"a", b"b" * 32768))),
    "L1 many fields": (431, (*GET, *[(b"a%d" % n, b"b") for n in range(100)])),
    "S16 an unknown expectation": (417, (*GET, (b"expect", b"200-ok"))),
    "8.5 CONNECT": (501, (CONNECT, AUTHORITY)),
}


def read(fields: tuple[Field, ...], *, ended: bool = True) -> RequestHead:
    """The head of a request that nothing is wrong with."""
    head = opening(list(fields), Limits(), None, lambda: KEY, ended=ended).head
    assert head is not None
    return head


class Fields(SynchronousTestCase):
    def test_malformed_is_reset(self) -> None:
        """H7: nothing goes on, and the next request is read"""
        for what, fields in MALFORMED.items():
            peer = Peer()
            (event,) = peer.ask(1, fields)
            self.assertEqual(peer.resets(), [(1, Code.PROTOCOL_ERROR)], what)
            self.assertEqual((event.code, event.by_peer, event.kind), (1, False, "malformed"))
            self.assertIsInstance(peer.ask(3)[0], Requested)

    def test_what_http1_would_not_have_is_answered(self) -> None:
        """H8: with the status that it has there, and without its body"""
        for what, (status, fields) in REFUSED.items():
            for flags in (END | WHOLE, WHOLE):
                peer = Peer()
                (event,) = peer.ask(1, fields, flags)
                assert isinstance(event, Refused), what
                self.assertEqual(event.problem.status, status, what)
                if not flags & END:
                    self.assertEqual(peer.say(b"\0\0\1\0\1\0\0\0\1x"), [])
                peer.connection.answer(1, b"%d No" % status, b"", ended=True)
                peer.listen()
                (head,) = peer.heard("Headers")
                self.assertEqual(peer.fields(head), [(b":status", b"%d" % status)])
                self.assertEqual((peer.resets(), peer.left_with()), ([], None))

    def test_reads_what_http1_would(self) -> None:
        """The head is the one that the same request has in HTTP/1.1"""
        path = (b":path", b"/a/../b?c=%2F")
        head = read((METHOD, SCHEME, path, (b":authority", b"A.Example.:80"), (b"x", b"y")))
        self.assertEqual((head.method, head.path, head.query), (b"GET", b"/b", b"?c=%2F"))
        self.assertEqual((head.host, head.authority), (b"a.example", b"a.example:80"))
        self.assertEqual(head.fields.kept, b"x: y\r\n")
        self.assertEqual((head.fields.length, head.fields.minor), (0, 1))
        self.assertTrue(head.fields.persistent)

    def test_the_host_field_stands_in_for_the_authority(self) -> None:
        self.assertEqual(read((*GET[:3], HOST)).host, b"a.example")
        self.assertEqual(
            read((*GET, (b"host", b"A.EXAMPLE."))).fields.seen[b"host"], [b"a.example"]
        )

    def test_options_for_the_whole_server(self) -> None:
        head = read(((b":method", b"OPTIONS"), SCHEME, (b":path", b"*"), AUTHORITY))
        self.assertEqual(head.path, b"*")

    def test_joins_the_crumbs_of_a_cookie(self) -> None:
        """8.2.3: a backend that speaks HTTP/1.1 gets one Cookie"""
        head = read((*GET, (b"cookie", b"a=b"), (b"x", b"y"), (b"cookie", b"c=d; e=f")))
        self.assertEqual(head.fields.value(b"cookie"), b"a=b; c=d; e=f")
        self.assertEqual(head.fields.kept.count(b"cookie"), 1)

    def test_an_empty_crumb_adds_nothing(self) -> None:
        """8.2.1 allows it; its end would be a space at the end of the line"""
        for crumbs in ((b"a=b", b""), (b"", b"a=b"), (b"", b"a=b", b"")):
            head = read((*GET, *((b"cookie", crumb) for crumb in crumbs)))
            self.assertEqual(head.fields.value(b"cookie"), b"a=b")
        self.assertEqual(
            read((*GET, (b"cookie", b""), (b"cookie", b""))).fields.value(b"cookie"), b""
        )

    def test_each_crumb_counts(self) -> None:
        """H4: crumbs are not a way around the limit for fields"""
        crumbs = [(b"cookie", b"a=b")] * 102
        peer = Peer()
        (event,) = peer.ask(1, (*GET, *crumbs))
        assert isinstance(event, Refused)
        self.assertEqual(event.problem.status, 431)
        self.assertIsInstance(peer.ask(3, (*GET, *crumbs[:90]))[0], Requested)

    def test_te_trailers_is_understood(self) -> None:
        self.assertTrue(read((*GET, (b"te", b"trailers"))).fields.wants_trailers)

    def test_a_name_with_an_underscore_is_dropped(self) -> None:
        """S4: it could be read as a second spelling"""
        self.assertEqual(read((*GET, (b"transfer_encoding", b"chunked"))).fields.kept, b"")

    def test_a_body_of_unknown_length_is_chunked_for_the_backend(self) -> None:
        self.assertIsNone(read(POST, ended=False).fields.length)
        self.assertEqual(read(POST).fields.length, 0)
        sized = read((*POST, (b"content-length", b"5")), ended=False)
        self.assertEqual(sized.fields.length, 5)

    def test_an_empty_body_is_announced_to_the_backend(self) -> None:
        """Where a method has one, HTTP/1.1's servers may insist on a length (411)."""
        for method in (b"POST", b"PUT", b"PATCH"):
            head = read(((b":method", method), *GET[1:]))
            self.assertEqual((head.fields.has_length, head.fields.length), (True, 0))
        for method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS"):
            self.assertFalse(read(((b":method", method), *GET[1:])).fields.has_length)

    def test_an_empty_body_may_be_announced(self) -> None:
        peer = Peer()
        peer.ask(1, (*POST, (b"content-length", b"0")), WHOLE)
        self.assertEqual(peer.say(b"\0\0\0\0\1\0\0\0\1"), [Came(1, b"", True)])

    def test_the_same_block_is_the_same_head(self) -> None:
        """What was read once is not read again, while the table stands"""
        peer = Peer()
        heads = []
        for stream in (1, 3, 5, 7):
            event = peer.ask(stream)[0]
            peer.connection.answer(stream, b"200 OK", b"", ended=True)
            heads.append(event.head)
        # The first has literals, the second only indices.
        self.assertIs(heads[2], heads[1])
        self.assertIs(heads[3], heads[1])
        event = peer.ask(9, (*GET[:2], (b":path", b"/other"), AUTHORITY))[0]
        self.assertEqual(event.head.path, b"/other")
        self.assertIs(event.head.fields, heads[1].fields)

    def test_the_same_block_with_a_body_is_another_head(self) -> None:
        peer = Peer()
        lengths = []
        for stream, flags in (
            (1, WHOLE),
            (3, END | WHOLE),
            (5, WHOLE),
            (7, END | WHOLE),
            (9, WHOLE),
        ):
            event = peer.ask(stream, POST, flags)[0]
            lengths.append(event.head.fields.length)
        self.assertEqual(lengths, [None, 0, None, 0, None])

    def test_a_changed_table_changes_the_meaning(self) -> None:
        """The same bytes after the table moved"""
        peer = Peer()
        # The newest field in the table, after an authority in no table.
        block = b"\x82\x87\x84\x01\x09a.example\xbe"
        kept = []
        for stream, value in ((1, b"b"), (3, b""), (5, b""), (7, b"c"), (9, b"")):
            if value:
                peer.ask(stream, (*GET, (b"x", value)))
            else:
                kept.append(
                    peer.say(frame(HEADERS, END | WHOLE, stream, block))[0].head.fields.kept
                )
        self.assertEqual(kept, [b"x: b\r\n", b"x: b\r\n", b"x: c\r\n"])


class Trailers(SynchronousTestCase):
    def test_a_field_that_is_none_is_malformed(self) -> None:
        """S14, H8: no line more than there are fields"""
        for name, value in (
            (b"a", b"b\r\nc: d"),
            (b"A", b"b"),
            (b":path", b"/"),
            (b"a", b" b"),
            (b"connection", b"close"),
            (b"transfer-encoding", b"chunked"),
        ):
            self.assertRaises(BrokenStreamError, trailers, [(name, value)])
        self.assertRaises(BrokenStreamError, trailers, None)

    def test_what_may_not_be_there_is_left_out(self) -> None:
        fields = [(b"x-sum", b"1"), (b"host", b"a"), (b"content-length", b"5"), (b"x_y", b"z")]
        self.assertEqual(trailers(fields), b"x-sum: 1\r\n")


class Tunnels(SynchronousTestCase):
    def test_comes_as_the_handshake_that_it_is(self) -> None:
        """RFC 8441 section 5: with a key that the backend can answer"""
        peer = Peer(new_key=lambda: KEY)
        fields = (*TUNNEL, (b"sec-websocket-key", b"mine"), (b"sec-websocket-protocol", b"chat"))
        (event,) = peer.ask(1, fields, WHOLE)
        assert isinstance(event, Requested)
        self.assertTrue(event.is_tunnel)
        self.assertFalse(event.ended)
        self.assertEqual(event.head.method, b"GET")
        self.assertEqual(event.head.fields.value(b"sec-websocket-key"), KEY)
        self.assertTrue(event.head.fields.upgrade)
        self.assertEqual(check_handshake(event.head), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")

    def test_carries_bytes_both_ways_and_closes_by_halves(self) -> None:
        peer = Peer(new_key=lambda: KEY)
        peer.ask(1, TUNNEL, WHOLE)
        connection = peer.connection
        connection.answer(1, b"200 OK", b"Upgrade: websocket\r\nSec-WebSocket-Protocol: chat\r\n")
        connection.data(1, b"hello", ended=True)
        peer.listen()
        (head,) = peer.heard("Headers")
        self.assertEqual(
            peer.fields(head), [(b":status", b"200"), (b"sec-websocket-protocol", b"chat")]
        )
        self.assertEqual(peer.say(b"\0\0\1\0\0\0\0\0\1x"), [Came(1, b"x", False)])
        self.assertEqual(peer.say(b"\0\0\1\0\1\0\0\0\1y"), [Came(1, b"y", True)])
        self.assertEqual((connection.open_streams, peer.resets()), (0, []))

    def test_says_that_it_offers_them(self) -> None:
        (found, _) = Peer(new_key=lambda: KEY).announced
        self.assertEqual(found.settings[0x8], 1)

    def test_refuses_what_is_no_tunnel(self) -> None:
        for status, flags, fields in (
            (501, WHOLE, (CONNECT, (b":protocol", b"connect-udp"), *TUNNEL[2:])),
            (400, END | WHOLE, TUNNEL),
            (400, WHOLE, (*TUNNEL, (b"content-length", b"5"))),
        ):
            peer = Peer(new_key=lambda: KEY)
            event = peer.ask(1, fields, flags)[0]
            assert isinstance(event, Refused)
            self.assertEqual(event.problem.status, status)

    def test_each_has_a_key_of_its_own(self) -> None:
        keys = iter([b64encode(bytes((n,)) * 16) for n in range(3)])
        peer = Peer(new_key=lambda: next(keys))
        heads = [peer.ask(stream, TUNNEL, WHOLE)[0].head for stream in (1, 3, 5)]
        self.assertEqual(len({head.fields.value(b"sec-websocket-key") for head in heads}), 3)


_BYTES = st.binary(max_size=8)
_VALUES = st.one_of(
    st.sampled_from((b"", b"a", b"5", b"0", b"chunked", b"trailers", b"a.example", b"a\r\nb: c")),
    st.text("aZ \t\r\n\0:;,é", max_size=6).map(lambda text: text.encode("latin-1")),
    _BYTES,
)
_NAMES = st.one_of(
    st.sampled_from(
        (b"x", b"cookie", b"host", b"content-length", b"transfer-encoding", b"te", b"x_y", b"X")
    ),
    st.sampled_from((b":path", b":method", b":authority", b":scheme", b"connection", b"expect")),
    _BYTES,
)
_PATHS = st.one_of(
    st.just(b"/"),
    st.text("/a.%2fF?#* \r\n", max_size=8).map(lambda text: b"/" + text.encode()),
    _BYTES,
)
_REQUESTS = st.builds(
    lambda method, path, authority, rest: (
        (b":method", method),
        SCHEME,
        (b":path", path),
        (b":authority", authority),
        *rest,
    ),
    st.sampled_from((b"GET", b"POST", b"OPTIONS", b"M\r\n", b"CONNECT")),
    _PATHS,
    st.one_of(st.just(b"a.example"), _VALUES),
    st.lists(st.tuples(_NAMES, _VALUES), max_size=5),
)


class Boundary(SynchronousTestCase):
    @settings(max_examples=300)
    @given(_REQUESTS, st.booleans())
    @example((*POST, (b"cookie", b"a"), (b"cookie", b"b"), (b"x", b"\xff")), False)
    @example((*GET, (b"x", b"y"), (b"expect", b"100-continue")), True)
    def test_others_read_the_one_request_that_came(
        self, fields: tuple[Field, ...], ended: bool
    ) -> None:
        """H8: h11 and llhttp find in the bytes the fields that the client sent, and nothing else"""
        try:
            read = opening(list(fields), Limits(), None, None, ended=ended)
        except BrokenStreamError:
            return
        head = read.head
        if head is None:
            self.assertIsInstance(read.problem, ProtocolError)
            return
        sent = [
            (n, v) for n, v in fields if not n.startswith(b":") and n not in (b"cookie", b"host")
        ]
        crumbs = [v for n, v in fields if n == b"cookie"]
        if crumbs:
            sent.append((b"cookie", b"; ".join(crumb for crumb in crumbs if crumb)))
        if not ended and read.expected < 0:
            sent.append((b"transfer-encoding", b"chunked"))
        elif read.expected < 0 and head.method == b"POST":
            sent.append((b"content-length", b"0"))
        body = b"" if ended else b"x" * read.expected if read.expected >= 0 else b"0\r\n\r\n"

        connection = h11.Connection(h11.SERVER)
        connection.receive_data(head.raw + body)
        request = connection.next_event()
        assert isinstance(request, h11.Request)
        self.assertEqual(request.method, head.method)
        found = [(n, v) for n, v in request.headers if n != b"host"]
        self.assertEqual(found, [(n.lower(), v) for n, v in sent])
        event = connection.next_event()
        while isinstance(event, h11.Data):
            event = connection.next_event()
        self.assertIsInstance(event, h11.EndOfMessage)
        self.assertEqual(connection.trailing_data, (b"", False))
        self.assertEqual(len(read_by_llhttp(head.raw + body)), 1)
