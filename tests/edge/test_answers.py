"""Backends' answers: passed on as they were meant, refused when that cannot be known."""

import h11
from twisted.trial.unittest import SynchronousTestCase

from tests.corpus import answers
from tests.support.edge import GET, OK, BackendEnd, Rig, get, ok, variant
from tests.support.oracles import Response
from veloflux.core.model.resilience import Retries

HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
HTTP10 = b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


def at_once(backend: BackendEnd, wire: bytes) -> None:
    backend.send(wire)


def bytewise(backend: BackendEnd, wire: bytes) -> None:
    """In small pieces, until the connection is given up; a byte each unless that is many."""
    step = 1 if len(wire) < 2000 else 999
    for at in range(0, len(wire), step):
        backend.send(wire[at : at + step])
        if backend.ending:
            return


class Bad(SynchronousTestCase):
    """S25: 502, the backend's connection dropped, the client's kept."""

    def refuse(self, table: answers.Answers, kind: str = "") -> None:
        rig = Rig(self)
        client = rig.client()
        sent = 0
        for name, wire in table:
            for send in (at_once, bytewise):
                with variant(f"{name}, {send.__name__}"):
                    client.send(GET)
                    backend = rig.backend.connections.pop()
                    send(backend, wire)
                    answer = client.answer()
                    self.assertEqual(answer.status, 502)
                    self.assertEqual(answer.field(b"content-type"), b"application/problem+json")
                    self.assertEqual(client.news, b"")
                    self.assertIsNone(client.ending)
                    self.assertEqual(backend.ending, "reset")
                sent += 1
        self.assertEqual(rig.count("veloflux_protocol_errors_total", "http1_upstream"), sent)
        if kind:
            self.assertEqual(rig.errors(kind), sent)
        self.assertEqual(rig.count("veloflux_upstream_retries_total"), 0)
        self.assertEqual(rig.inflight, 0)
        for entry in rig.entries(sent):
            self.assertEqual((entry["status"], entry["termination"]), (502, "PH"), entry)
            self.assertEqual(entry["error"], "bad_answer")
        client.send(GET)
        rig.backend.answer(OK)
        self.assertEqual(client.answer().body, b"ok")

    def test_refuses_framing_in_two_ways(self) -> None:
        """S25"""
        self.refuse(answers.FRAMING)

    def test_refuses_bad_grammar(self) -> None:
        """S25"""
        self.refuse(answers.GRAMMAR)

    def test_refuses_other_status_lines(self) -> None:
        """S25"""
        self.refuse(answers.STATUS_LINES)

    def test_refuses_what_was_not_asked_for(self) -> None:
        """S25: with HTTP/1.0, whose clients do not see interim answers"""
        rig = Rig(self)
        for name, wire in answers.UNASKED:
            for send in (at_once, bytewise):
                with variant(f"{name}, {send.__name__}"):
                    client = rig.client()
                    client.send(HTTP10)
                    backend = rig.backend.connections.pop()
                    send(backend, wire)
                    self.assertEqual(client.answer().status, 502)
                    self.assertEqual(backend.ending, "reset")

    def test_an_endless_interim_is_not_passed_on_for_ever(self) -> None:
        """S25"""
        rig = Rig(self)
        client = rig.client()
        client.send(GET)
        rig.backend.answer(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10_000)
        answer = client.answer()
        self.assertEqual((answer.status, len(answer.interim)), (502, 16))

    def test_chunks_that_break_off_cut_the_client(self) -> None:
        """S25: never pretend success."""
        rig = Rig(self)
        for name, wire in answers.CHUNKS:
            for send in (at_once, bytewise):
                with variant(f"{name}, {send.__name__}"):
                    client = rig.client()
                    client.send(GET)
                    backend = rig.backend.connections.pop()
                    send(backend, wire)
                    self.assertEqual(backend.ending, "reset")
                    if client.received.startswith(b"HTTP/1.1 502"):
                        self.assertEqual(client.answer().status, 502)
                    else:
                        self.assertEqual(client.ending, "reset")
                        self.assertRaises(h11.RemoteProtocolError, client.answers, b"GET")
        self.assertEqual(rig.errors("chunk"), 2 * len(answers.CHUNKS))


class Poisoning(SynchronousTestCase):
    """S25: what a backend says beyond an answer never becomes the next one."""

    def poison(self, request: bytes, wire: bytes, *, later: bytes = b"") -> Response:
        """Answer with `wire`, then send `later`; the next client must get its own answer."""
        rig = Rig(self)
        first, second = rig.client(), rig.client()
        first.send(request)
        rig.backend.answer(wire)
        if later:
            rig.backend.answer(later)
        self.assertEqual(rig.backend.connection.ending, "reset")
        for client in (second, first):
            client.send(get(b"/next"))
            self.assertEqual(len(rig.backend.connections), 2)
            self.assertEqual(rig.backend.connections[1].requests()[-1].target, b"/next")
            rig.backend.connections[1].send(ok(b"good"))
            if client is second:
                self.assertEqual(client.answer().body, b"good")
        found = first.answers(request.partition(b" ")[0], b"GET")
        self.assertEqual(found[1].body, b"good")
        self.assertNotIn(b"evil", first.received + second.received)
        return found[0]

    def test_bytes_after_a_counted_body(self) -> None:
        """S25: the answer itself is good."""
        self.assertEqual(self.poison(GET, OK + EVIL).body, b"ok")
        self.assertEqual(self.poison(GET, OK, later=EVIL).body, b"ok")
        self.assertEqual(self.poison(GET, OK + b"\r\n").body, b"ok")
        self.assertEqual(self.poison(GET, ok(b"x" * 100_000) + EVIL).body, b"x" * 100_000)

    def test_bytes_after_a_chunked_body(self) -> None:
        """S25"""
        wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        self.assertEqual(self.poison(GET, wire + EVIL).body, b"ok")
        self.assertEqual(self.poison(GET, wire, later=EVIL).body, b"ok")

    def test_a_body_where_there_is_none(self) -> None:
        """S25"""
        for start in (b"204 No Content", b"304 Not Modified"):
            for lines in (b"", b"Content-Length: %d\r\n" % len(EVIL)):
                wire = b"HTTP/1.1 " + start + b"\r\n" + lines + b"\r\n"
                self.assertEqual(self.poison(GET, wire + EVIL).body, b"")
                self.assertEqual(self.poison(GET, wire, later=EVIL).body, b"")

    def test_a_body_for_head(self) -> None:
        """S25"""
        for lines in (
            b"Content-Length: %d\r\n" % len(EVIL),
            b"Transfer-Encoding: chunked\r\n",
            b"",
        ):
            wire = b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n"
            self.assertEqual(self.poison(HEAD, wire + EVIL).body, b"")
            self.assertEqual(self.poison(HEAD, wire, later=EVIL).body, b"")

    def test_a_body_after_an_empty_one(self) -> None:
        """S25"""
        wire = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        self.assertEqual(self.poison(GET, wire + EVIL).body, b"")

    def test_an_answer_to_nothing(self) -> None:
        """S25: on a connection that is kept, unasked."""
        for unasked in (EVIL, b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"\r\n", b"x"):
            self.assertEqual(self.poison(GET, OK, later=unasked).body, b"ok")

    def test_bytes_after_an_answer_in_a_pipeline(self) -> None:
        """S25, S23"""
        rig = Rig(self)
        client = rig.client()
        client.send(get(b"/1") + get(b"/2"))
        rig.backend.answer(OK + EVIL)
        self.assertEqual(rig.backend.connections[0].ending, "reset")
        rig.backend.connections[1].send(ok(b"good"))
        self.assertEqual([each.body for each in client.answers(b"GET", b"GET")], [b"ok", b"good"])


class Cut(SynchronousTestCase):
    """S25: an answer that ends too early is not passed off as a whole one."""

    def cut(self, wire: bytes, end: str, request: bytes = GET) -> None:
        rig = Rig(self)
        client = rig.client()
        client.send(request)
        rig.backend.answer(wire)
        getattr(rig.backend.connection, end)()
        self.assertEqual(client.ending, "reset", (wire, end))
        entry = rig.entry()
        self.assertEqual((entry["status"], entry["termination"]), (200, "SD"))
        self.assertEqual(rig.inflight, 0)
        self.assertEqual(rig.reactor.descriptors, 0)

    def test_a_short_counted_body(self) -> None:
        """S25"""
        for end in ("finish", "close", "reset"):
            self.cut(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", end)
            self.cut(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", end)

    def test_a_short_chunked_body(self) -> None:
        """S25"""
        for body in (b"", b"5", b"5\r\nhell", b"5\r\nhello\r\n", b"5\r\nhello\r\n0\r\n"):
            for end in ("finish", "reset"):
                self.cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body, end)

    def test_a_short_chunked_body_for_http_1_0(self) -> None:
        """S25: the end of the connection is its only end, so it must not be a clean one."""
        self.cut(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell", "finish", HTTP10
        )

    def test_a_reset_is_no_end_of_a_body(self) -> None:
        """S25"""
        self.cut(b"HTTP/1.1 200 OK\r\n\r\nhello", "reset")
        self.cut(b"HTTP/1.0 200 OK\r\n\r\nhello", "reset", HTTP10)

    def test_no_answer_at_all(self) -> None:
        """S25, X2"""
        for wire in (b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 100 Continue\r\n\r\n"):
            for end in ("finish", "close", "reset"):
                rig = Rig(self, pool={"retries": Retries(attempts=0)})
                client = rig.client()
                client.send(GET)
                if wire:
                    rig.backend.answer(wire)
                getattr(rig.backend.connection, end)()
                self.assertEqual(client.answer().status, 502)
                self.assertIsNone(client.ending)
                entry = rig.entry()
                self.assertEqual((entry["termination"], entry["error"]), ("SH", "reset"))
                self.assertEqual(rig.count("veloflux_upstream_requests_total", "none"), 1)


class Good(SynchronousTestCase):
    def answer(self, wire: bytes, request: bytes = GET, *, ended: bool = False) -> Response:
        """What the client reads; `ended` closes the backend's connection after it."""
        self.rig = Rig(self)
        self.client = self.rig.client()
        self.client.send(request)
        self.rig.backend.answer(wire)
        if ended:
            self.rig.backend.connection.finish()
        return self.client.answer(request.partition(b" ")[0])

    def test_a_status_without_a_reason(self) -> None:
        """S25"""
        for start in (b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 299 Odd"):
            answer = self.answer(start + b"\r\nContent-Length: 2\r\n\r\nok")
            self.assertEqual(answer.body, b"ok")
            self.assertIn(b"%d " % answer.status, self.client.received)

    def test_a_body_in_pieces(self) -> None:
        for size in (1, 2, 7):
            rig = Rig(self)
            client = rig.client()
            client.send(GET)
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            wire = head + b"5;x=y\r\nhello\r\n0\r\nT: u\r\n\r\n"
            for at in range(0, len(wire), size):
                rig.backend.answer(wire[at : at + size])
            answer = client.answer()
            self.assertEqual((answer.body, answer.trailers), (b"hello", [(b"t", b"u")]))
            self.assertNotIn(b"x=y", client.received)

    def test_a_body_until_the_end(self) -> None:
        """For HTTP/1.1 it is chunked, so that its end can be seen and the connection kept."""
        for start in (b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n"):
            answer = self.answer(start + b"hello", ended=True)
            self.assertEqual(answer.body, b"hello")
            self.assertEqual(answer.field(b"transfer-encoding"), b"chunked")
            self.assertIsNone(answer.field(b"connection"))
            self.assertIsNone(self.client.ending)
            self.assertEqual(self.rig.entry()["termination"], "--")

    def test_an_empty_body_until_the_end(self) -> None:
        answer = self.answer(b"HTTP/1.1 200 OK\r\n\r\n", ended=True)
        self.assertEqual(answer.body, b"")
        self.assertEqual(answer.field(b"transfer-encoding"), b"chunked")

    def test_a_body_until_the_end_for_http_1_0(self) -> None:
        for wire in (
            b"HTTP/1.1 200 OK\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: u\r\n\r\n",
        ):
            answer = self.answer(wire, HTTP10, ended=True)
            self.assertEqual(answer.body, b"hello")
            self.assertIsNone(answer.field(b"transfer-encoding"))
            self.assertIsNone(answer.field(b"content-length"))
            self.assertEqual(answer.field(b"connection"), b"close")
            self.assertEqual(self.client.ending, "closed")

    def test_a_body_until_the_end_for_a_kept_http_1_0(self) -> None:
        """It cannot be kept after all."""
        request = b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
        answer = self.answer(b"HTTP/1.1 200 OK\r\n\r\nhello", request, ended=True)
        self.assertEqual((answer.body, answer.field(b"connection")), (b"hello", b"close"))
        self.assertEqual(self.client.ending, "closed")

    def test_head_keeps_the_length(self) -> None:
        answer = self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", HEAD)
        self.assertEqual((answer.field(b"content-length"), answer.body), (b"1000", b""))
        self.assertEqual(self.rig.entry()["bytes_out"], 0)
        self.client.send(GET)
        self.rig.backend.answer(OK)
        self.assertEqual(self.client.answer().body, b"ok")
        self.assertEqual(len(self.rig.backend.connections), 1)

    def test_not_modified_keeps_the_length(self) -> None:
        answer = self.answer(b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 9\r\n\r\n')
        self.assertEqual((answer.field(b"content-length"), answer.body), (b"9", b""))
        self.assertEqual(answer.field(b"etag"), b'"x"')

    def test_no_content_has_no_length(self) -> None:
        """RFC 9110 section 8.6"""
        answer = self.answer(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")
        self.assertIsNone(answer.field(b"content-length"))
        self.assertIsNone(answer.field(b"transfer-encoding"))

    def test_interim_answers_come_first(self) -> None:
        wire = (
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\nConnection: close\r\n\r\n"
            b"HTTP/1.1 102 Processing\r\n\r\n"
        )
        answer = self.answer(wire + OK)
        self.assertEqual((answer.status, answer.interim), (200, [103, 102]))
        self.assertIn(b"Link: </x>; rel=preload\r\n", self.client.received)
        self.assertIsNone(self.client.ending)

    def test_interim_answers_in_pieces(self) -> None:
        rig = Rig(self)
        client = rig.client()
        client.send(GET)
        for byte in b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" + OK:
            rig.backend.answer(bytes((byte,)))
        answer = client.answer()
        self.assertEqual((answer.body, answer.interim), (b"ok", [103]))

    def test_http_1_0_gets_no_interim_answers(self) -> None:
        answer = self.answer(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK, HTTP10)
        self.assertEqual(answer.interim, [])

    def test_what_is_for_this_hop_stays_here(self) -> None:
        """S17"""
        answer = self.answer(
            b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Mine\r\nKeep-Alive: timeout=5\r\n"
            b"X-Mine: 1\r\nProxy-Connection: x\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\n"
            b"X-Kept: 1\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nVia: 1.1 inner\r\n"
            b"Content-Length: 2\r\n\r\nok"
        )
        names = [name for name, _ in answer.fields]
        for gone in (b"connection", b"keep-alive", b"x-mine", b"proxy-connection", b"upgrade"):
            self.assertNotIn(gone, names)
        self.assertNotIn(b"proxy-authenticate", names)
        self.assertEqual(names.count(b"set-cookie"), 2)
        self.assertEqual(names.count(b"x-kept"), 1)
        vias = [value for name, value in answer.fields if name == b"via"]
        self.assertEqual(vias, [b"1.1 inner", b"1.1 veloflux"])

    def test_a_trailer_that_connection_names_stays_here(self) -> None:
        """S17"""
        answer = self.answer(
            b"HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nok\r\n0\r\nx-mine: 1\r\nX-Kept: 2\r\n\r\n"
        )
        self.assertEqual((answer.body, answer.trailers), (b"ok", [(b"x-kept", b"2")]))

    def test_via_tells_the_version_that_was_received(self) -> None:
        """RFC 9110 section 7.6.3"""
        for version in (b"1.0", b"1.1"):
            answer = self.answer(b"HTTP/" + version + b" 200 OK\r\nContent-Length: 2\r\n\r\nok")
            self.assertEqual(answer.field(b"via"), version + b" veloflux")

    def test_one_date(self) -> None:
        """RFC 9110 section 6.6.1: the backend's, or ours"""
        date = b"Sun, 06 Nov 1994 08:49:37 GMT"
        self.assertEqual(self.answer(ok(b"", b"Date: " + date + b"\r\n")).field(b"date"), date)
        twice = b"Date: " + date + b"\r\nDate: x\r\n"
        self.assertEqual(self.answer(ok(b"", twice)).field(b"date"), date)
        self.assertTrue((self.answer(OK).field(b"date") or b"").endswith(b" GMT"))

    def test_the_backend_closes(self) -> None:
        rig = Rig(self)
        client = rig.client()
        for _ in range(2):
            client.send(GET)
            backend = rig.backend.connections.pop()
            backend.send(ok(b"ok", b"Connection: close\r\n"))
            self.assertEqual(client.answer().field(b"connection"), None)
            self.assertIsNotNone(backend.ending)
        self.assertIsNone(client.ending)

    def test_an_http_1_0_backend(self) -> None:
        rig = Rig(self)
        client = rig.client()
        for lines, connections in ((b"", 1), (b"Connection: keep-alive\r\n", 2), (b"", 2)):
            client.send(GET)
            rig.backend.connections[-1].send(
                b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n" + lines + b"\r\nok"
            )
            self.assertEqual(client.answer().body, b"ok")
            self.assertEqual(len(rig.backend.connections), connections)
