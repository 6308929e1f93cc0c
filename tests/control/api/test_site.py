"""Connections to the admin listener: limits and deadlines, as bytes."""

from dataclasses import replace

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from tests.control.api.client import SIGNED_IN, Api, Connection, parse
from tests.control.api.rows import Shelf
from veloflux.control.api.app import ANSWER_DEADLINE_S
from veloflux.control.api.endpoint import MAX_BODY_BYTES, Asked, Reply
from veloflux.control.api.gate import Gate
from veloflux.control.api.pages import Pages
from veloflux.control.api.site import (
    MAX_CONNECTIONS,
    MAX_LARGE,
    REQUEST_DEADLINE_S,
    AdminSite,
    Limits,
)


def close(connection: Connection) -> None:
    connection.channel.connectionLost(Failure(ConnectionDone()))


def store(asked: Asked, x: str, body: list[str]) -> Reply[int]:
    """Take a long text."""
    return Reply(len(body[0]))


class BodyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = Api()
        self.connection = Connection(self.api.site)

    def send(self, fields: dict[str, str], body: bytes = b"") -> bytes:
        return self.connection.send(self.api.raw("GET", "/health", fields, body))

    def test_a_small_body_is_read_and_ignored(self) -> None:
        self.assertEqual(parse(self.send({"Content-Length": "3"}, b"abc")).status, 200)
        self.assertEqual(parse(self.send({})).status, 200)

    def test_a_long_body_is_refused_before_it_comes(self) -> None:
        answer = parse(self.send({"Content-Length": str(MAX_BODY_BYTES + 1)}))
        self.assertEqual((answer.status, answer.headers["connection"]), (413, "close"))
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        self.assertEqual(answer.json()["instance"], answer.headers["x-request-id"])

    def test_who_asks_first_is_not_told_to_go_on(self) -> None:
        fields = {"Content-Length": str(MAX_BODY_BYTES + 1), "Expect": "100-continue"}
        answered = self.send(fields)
        self.assertNotIn(b"100 Continue", answered)
        self.assertEqual(parse(answered).status, 413)

    def test_what_comes_after_the_refusal_is_thrown_away(self) -> None:
        self.send({"Content-Length": str(MAX_BODY_BYTES + 1)})
        self.assertEqual(self.connection.send(b"x" * MAX_BODY_BYTES), b"")
        self.assertFalse(self.connection.transport.disconnecting)
        self.assertEqual(self.connection.send(b"xGET /health HTTP/1.1\r\n\r\n"), b"")
        self.assertTrue(self.connection.transport.disconnecting)

    def test_a_body_of_unknown_length_is_refused_when_it_is_too_long(self) -> None:
        chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
        self.send({"Transfer-Encoding": "chunked"})
        for _ in range(MAX_BODY_BYTES // 0x4000):
            self.assertEqual(self.connection.send(chunk), b"")
        answered = self.connection.send(chunk)
        self.assertEqual(parse(answered).status, 413)
        self.assertEqual(self.connection.send(chunk + b"0\r\n\r\n"), b"")
        self.assertTrue(self.connection.transport.disconnecting)


class LargeTests(SynchronousTestCase):
    """Rows that take more than the others."""

    def setUp(self) -> None:
        shelf = Shelf()
        post = next(row for row in shelf.rows if row.method == "POST")
        self.limit = 4 * MAX_BODY_BYTES
        rows = (*shelf.rows, replace(post, path="/api/shelf/{x}/import", answer=store))
        rows = tuple(
            replace(row, max_body_bytes=self.limit) if row.answer is store else row for row in rows
        )
        self.api = Api(rows=rows)

    def start(self, length: int, **fields: str) -> tuple[Connection, bytes]:
        connection = Connection(self.api.site)
        headers = SIGNED_IN | {"Content-Type": "application/json", "Content-Length": str(length)}
        raw = self.api.raw("POST", "/api/v1/shelf/a/import", headers | fields)
        return connection, connection.send(raw)

    def body(self, length: int) -> bytes:
        return b'["' + b"x" * (length - 4) + b'"]'

    def test_take_what_others_do_not(self) -> None:
        connection, answered = self.start(self.limit)
        self.assertEqual(answered, b"")
        answer = parse(connection.send(self.body(self.limit)))
        self.assertEqual((answer.status, answer.json()), (201, self.limit - 4))
        self.assertEqual(parse(self.start(self.limit + 1)[1]).status, 413)

    def test_take_it_only_from_who_signs_in(self) -> None:
        connection = Connection(self.api.site)
        raw = self.api.raw(
            "POST", "/api/shelf/a/import", {"Content-Length": str(MAX_BODY_BYTES + 1)}
        )
        self.assertEqual(parse(connection.send(raw)).status, 413)

    def test_are_few_at_the_same_time(self) -> None:
        begun = [self.start(self.limit)[0] for _ in range(MAX_LARGE)]
        self.assertEqual(parse(self.start(self.limit)[1]).status, 503)
        begun[0].close()
        self.assertEqual(self.start(self.limit)[1], b"")
        parse(begun[1].send(self.body(self.limit)))
        self.assertEqual(self.start(self.limit)[1], b"")


class DeadlineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = Api()
        self.connection = Connection(self.api.site)

    def test_a_request_that_drips_is_cut_off(self) -> None:
        head = self.api.raw("GET", "/health", {"X-Long": "x" * 100})
        for octet in head[: int(REQUEST_DEADLINE_S)]:
            self.assertFalse(self.connection.transport.disconnecting)
            self.connection.send(bytes([octet]))
            self.api.clock.advance(1.0)
        self.assertTrue(self.connection.transport.disconnecting)

    def test_an_idle_connection_is_closed_after_the_same_time(self) -> None:
        self.api.clock.advance(REQUEST_DEADLINE_S - 1)
        self.assertEqual(parse(self.connection.send(self.api.raw("GET", "/", {}))).status, 200)
        self.api.clock.advance(REQUEST_DEADLINE_S - 1)
        self.assertFalse(self.connection.transport.disconnecting)
        self.api.clock.advance(1.0)
        self.assertTrue(self.connection.transport.disconnecting)

    def test_an_answer_that_takes_too_long_is_given_up(self) -> None:
        api = Api(page=lambda work: Deferred())
        connection = Connection(api.site)
        self.assertEqual(connection.send(api.raw("GET", "/metrics", SIGNED_IN)), b"")
        connection.transport.clear()
        api.clock.advance(ANSWER_DEADLINE_S)
        answer = parse(connection.transport.value())
        self.assertEqual((answer.status, answer.json()["status"]), (503, 503))

    def test_who_leaves_is_not_answered(self) -> None:
        page: Deferred[bytes] = Deferred()
        api = Api(page=lambda work: page)
        connection = Connection(api.site)
        connection.send(api.raw("GET", "/metrics", SIGNED_IN))
        close(connection)
        page.callback(b"late")
        self.assertEqual(connection.transport.value(), b"")
        self.assertEqual(self.flushLoggedErrors(CancelledError), [])


class ConnectionTests(SynchronousTestCase):
    def test_their_number_is_bounded(self) -> None:
        api = Api()
        connections = [Connection(api.site) for _ in range(MAX_CONNECTIONS)]
        self.assertIsNone(api.site.buildProtocol(None))
        close(connections.pop())
        self.assertEqual(parse(Connection(api.site).send(api.raw("GET", "/", {}))).status, 200)

    def test_one_serves_many_requests(self) -> None:
        api = Api()
        connection = Connection(api.site)
        for _ in range(3):
            self.assertEqual(parse(connection.send(api.raw("GET", "/", {}))).status, 200)


class FailureTests(SynchronousTestCase):
    def test_a_bug_is_logged_and_tells_nothing(self) -> None:
        api = Api(page=lambda work: fail(ZeroDivisionError("secret")))
        answer = api.call("GET", "/metrics", SIGNED_IN)
        self.assertEqual(answer.status, 500)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        self.assertNotIn(b"secret", answer.body)
        self.assertNotIn(b"Zero", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_bug_outside_the_routing_is_a_problem_too(self) -> None:
        class Broken(Resource):
            isLeaf = True

            def render(self, request: IRequest) -> int:
                raise ZeroDivisionError("secret")

        site = AdminSite(Gate(Broken(), None, Pages(()), lambda *_: None), Clock(), Limits(()))
        answer = parse(Connection(site).send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
        self.assertEqual(answer.status, 500)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        self.assertNotIn(b"secret", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
