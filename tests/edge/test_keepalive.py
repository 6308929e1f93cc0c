"""Connections kept and closed, on both sides, for HTTP/1.1 and HTTP/1.0."""

from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import GET, OK, Rig, get, ok, variant

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


class Kept(SynchronousTestCase):
    """Whether a client's connection is kept, by what it and the answer say."""

    def test_by_version_and_option(self) -> None:
        """RFC 9112 section 9.3; Proxy-Connection as old clients mean it"""
        for version, lines, kept in (
            (b"1.1", b"", True),
            (b"1.1", b"Connection: close\r\n", False),
            (b"1.1", b"Connection: Close\r\n", False),
            (b"1.1", b"Connection: keep-alive, close\r\n", False),
            (b"1.1", b"Connection: x\r\nConnection: close\r\n", False),
            (b"1.1", b"Connection: keep-alive\r\n", True),
            (b"1.1", b"Connection: closed\r\n", True),
            (b"1.1", b"Proxy-Connection: close\r\n", False),
            (b"1.0", b"", False),
            (b"1.0", b"Connection: keep-alive\r\n", True),
            (b"1.0", b"Connection: Keep-Alive\r\n", True),
            (b"1.0", b"Connection: keep-alive, close\r\n", False),
            (b"1.0", b"Proxy-Connection: keep-alive\r\n", True),
        ):
            for backend in (OK, b"HTTP/1.1 204 No Content\r\n\r\n", b"refused", b"no route"):
                with variant(f"{version!r} {lines!r} {backend[:12]!r}"):
                    rig = Rig(self)
                    if backend == b"refused":
                        rig.backend.refuses = 111
                    if backend == b"no route":
                        rig.change(routes=())
                    client = rig.client()
                    client.send(get(lines=lines).replace(b"1.1", version, 1))
                    if backend.startswith(b"HTTP"):
                        rig.backend.answer(backend)
                    answer = client.answer()
                    expected = {True: b"keep-alive" if version == b"1.0" else None, False: b"close"}
                    self.assertEqual(answer.field(b"connection"), expected[kept])
                    self.assertEqual(client.ending, None if kept else "closed")
                    client.send(GET)
                    if kept and backend.startswith(b"HTTP"):
                        rig.backend.answer(OK)
                        self.assertEqual(client.answer().status, 200)

    def test_a_backend_s_wish_is_its_own(self) -> None:
        """Connection is for one hop."""
        for lines in (b"Connection: close\r\n", b"Connection: keep-alive\r\n", b""):
            rig = Rig(self)
            client = rig.client()
            client.send(GET)
            rig.backend.answer(ok(b"", lines))
            self.assertIsNone(client.answer().field(b"connection"))
            self.assertIsNone(client.ending)
            self.assertEqual(rig.backend.connection.ending, "closed" if b"close" in lines else None)

    def test_a_client_s_wish_is_its_own(self) -> None:
        for lines in (b"Connection: close\r\n", b"Connection: keep-alive\r\n"):
            rig = Rig(self)
            client = rig.client()
            client.send(get(lines=lines))
            self.assertIsNone(rig.backend.request().field(b"connection"))
            rig.backend.answer(OK)
            self.assertIsNone(rig.backend.connection.ending)

    def test_backends_are_spoken_to_in_1_1(self) -> None:
        """RFC 9110 section 2.5: the version is for one hop"""
        rig = Rig(self)
        client = rig.client()
        client.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        self.assertTrue(rig.backend.received.startswith(b"GET / HTTP/1.1\r\n"))

    def test_a_chunked_answer_for_http_1_0(self) -> None:
        """Its end is the connection's, also of one that was to be kept."""
        for lines in (b"", b"Connection: keep-alive\r\n"):
            rig = Rig(self)
            client = rig.client()
            client.send(b"GET / HTTP/1.0\r\nHost: a\r\n" + lines + b"\r\n")
            for at in range(0, len(CHUNKED), 7):
                rig.backend.answer(CHUNKED[at : at + 7])
            self.assertTrue(client.received.endswith(b"\r\n\r\nhello"))
            answer = client.answer()
            self.assertEqual((answer.body, answer.field(b"connection")), (b"hello", b"close"))
            self.assertEqual(client.ending, "closed")
            self.assertIsNone(rig.backend.connection.ending)

    def test_a_chunked_answer_for_http_1_1(self) -> None:
        rig = Rig(self)
        client = rig.client()
        for _ in range(2):
            client.send(GET)
            rig.backend.answer(CHUNKED)
            self.assertEqual(client.answer().body, b"hello")
        self.assertEqual(len(rig.backend.connections), 1)

    def test_head_of_a_chunked_answer(self) -> None:
        rig = Rig(self)
        client = rig.client()
        client.send(GET.replace(b"GET", b"HEAD"))
        rig.backend.answer(CHUNKED.partition(b"5")[0])
        answer = client.answer(b"HEAD")
        self.assertEqual((answer.body, answer.field(b"transfer-encoding")), (b"", None))
        client.send(GET)
        rig.backend.answer(CHUNKED)
        self.assertEqual(client.answer().body, b"hello")
        self.assertEqual(len(rig.backend.connections), 1)

    def test_head_that_is_refused(self) -> None:
        for wire in (
            b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        ):
            rig = Rig(self, routes=())
            client = rig.client()
            client.send(wire)
            answer = client.answer(b"HEAD")
            self.assertEqual((answer.status, client.news), (404, b""))
            self.assertGreater(int(answer.field(b"content-length") or 0), 100)

    def test_many_requests_on_one_connection(self) -> None:
        rig = Rig(self)
        client = rig.client()
        bodies = [b"x" * (n * 37 % 5000) for n in range(300)]
        for n, body in enumerate(bodies):
            if n % 3:
                client.send(get(b"/%d" % n))
            else:
                head = b"PUT /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
                client.send(head % (n, len(body)) + body)
            rig.backend.answer(ok(body))
        answers = client.answers(*[b"GET"] * 300)
        self.assertEqual([answer.body for answer in answers], bodies)
        requests = rig.backend.connection.requests()
        self.assertEqual([request.target for request in requests], [b"/%d" % n for n in range(300)])
        sent = [request.body for request in requests]
        self.assertEqual(sent, [b"" if n % 3 else body for n, body in enumerate(bodies)])


class Sizes(SynchronousTestCase):
    """Bodies of every size around what is read at once, both ways"""

    SIZES = (0, 1, 65_535, 65_536, 65_537, 131_071, 131_072, 131_073, 400_000, 3_000_000)

    def test_answers(self) -> None:
        for size in self.SIZES:
            body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
            for framing in ("counted", "chunked", "until the end"):
                rig = Rig(self)
                client = rig.client()
                client.send(GET)
                if framing == "counted":
                    rig.backend.answer(ok(body))
                elif framing == "chunked":
                    chunk = b"%x\r\n%b\r\n" % (size, body) if size else b""
                    rig.backend.answer(CHUNKED.partition(b"5")[0] + chunk + b"0\r\n\r\n")
                else:
                    rig.backend.answer(b"HTTP/1.1 200 OK\r\n\r\n" + body)
                    rig.backend.connection.finish()
                with variant(f"{size}, {framing}"):
                    self.assertEqual(client.answer().body == body, True)
                    self.assertEqual(rig.entry()["bytes_out"], size)
                    self.assertEqual(client.news, b"")

    def test_requests(self) -> None:
        for size in self.SIZES:
            body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
            head = b"POST / HTTP/1.1\r\nHost: a\r\n"
            chunk = b"%x\r\n%b\r\n" % (size, body) if size else b""
            for framing, wire in (
                ("counted", head + b"Content-Length: %d\r\n\r\n" % size + body),
                ("chunked", head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n"),
            ):
                rig = Rig(self)
                client = rig.client()
                client.send(wire)
                with variant(f"{size}, {framing}"):
                    self.assertEqual(rig.backend.request().body == body, True)
                    rig.backend.answer(OK)
                    self.assertEqual(client.answer().status, 200)
                    self.assertEqual(rig.entry()["bytes_in"], size)
                    self.assertIsNone(client.ending)

    def test_both_at_once(self) -> None:
        """An echo that begins before the upload is through, with narrow windows both ways"""
        size = 1_000_000
        rig = Rig(self)
        client = rig.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        backend = rig.backend.connection
        backend.stop_reading(1000)
        client.stop_reading(1000)
        head = len(backend.received)
        client.send(b"x" * size)
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        echoed = 0
        while echoed < size:
            arrived = len(backend.received) - head
            self.assertGreater(arrived, echoed)
            backend.send(b"x" * (arrived - echoed))
            echoed = arrived
            backend.read(100_000)
            client.read(90_000)
        client.read()
        self.assertEqual(len(client.answer().body), size)
        self.assertEqual(rig.entry()["termination"], "--")
