"""WebSockets on the admin listener: who gets one, and who is refused how."""

from base64 import b64encode
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.control.api.client import SIGNED_IN, Api, Connection, basic, parse
from veloflux.control.services.principal import ROLES, Principal
from veloflux.control.services.tickets import LIFETIME_S

UPGRADE = {
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": b64encode(b"x" * 16).decode(),
}
ANN = Principal("u1", "ann", "viewer", ROLES["viewer"])


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = Api()

    def ask(
        self, path: str = "/api/ws/status", method: str = "GET", **fields: str | None
    ) -> tuple[Connection, bytes]:
        headers: dict[str, Any] = UPGRADE | SIGNED_IN
        headers |= {name.replace("_", "-"): value for name, value in fields.items()}
        connection = Connection(self.api.site)
        kept = {name: value for name, value in headers.items() if value is not None}
        return connection, connection.send(self.api.raw(method, path, kept))

    def refused(self, path: str = "/api/ws/status", method: str = "GET", **fields: Any) -> int:
        """The status of a refusal, which is a problem."""
        answer = parse(self.ask(path, method, **fields)[1])
        self.assertEqual(answer.headers.get("content-type"), "application/problem+json")
        self.assertEqual(self.api.sockets.expected, [])
        return answer.status


class Upgrade(Case):
    def test_hands_the_connection_over(self) -> None:
        connection, answered = self.ask("/api/v1/ws/health?period=5")
        self.assertEqual(answered, b"")
        [(address, principal, channel, period_s)] = self.api.sockets.expected
        assert principal is not None
        self.assertEqual((address, channel, period_s), ("127.0.0.1", "health", 5.0))
        self.assertEqual(principal.role, "operator")
        socket = self.api.sockets.socket
        self.assertIs(socket.transport, connection.transport)
        self.assertIs(connection.transport.producer, socket)
        self.assertTrue(socket.told.startswith(b"GET /api/v1/ws/health HTTP/1.1\r\nHost: "))
        self.assertTrue(socket.told.endswith(b"\r\n\r\n"))

    def test_passes_on_nothing_of_the_request_but_the_handshake(self) -> None:
        """W2: so no extension is agreed on, and nothing can be inflated."""
        self.ask(Sec_WebSocket_Extensions="permessage-deflate", Cookie="secret=1")
        told = self.api.sockets.socket.told
        self.assertNotIn(b"deflate", told)
        self.assertNotIn(b"secret", told)
        self.assertNotIn(b"Authorization", told)

    def test_is_no_longer_a_connection_of_the_api(self) -> None:
        connection, _ = self.ask()
        self.assertEqual(self.api.site.connections, 0)
        self.api.clock.advance(3600)
        self.assertFalse(connection.transport.disconnecting)

    def test_lets_in_without_credentials_whoever_will_say_who_they_are(self) -> None:
        self.ask(Authorization=None)
        self.assertIsNone(self.api.sockets.expected[0][1])


class Tickets(Case):
    def test_let_somebody_in_once(self) -> None:
        path = f"/api/ws/status?ticket={self.api.tickets.issue(ANN)}"
        self.ask(path, Authorization=None)
        self.assertEqual(self.api.sockets.expected[0][1], ANN)
        self.api.sockets.expected.clear()
        self.assertEqual(self.refused(path, Authorization=None), 401)

    def test_are_given_to_whoever_has_signed_in(self) -> None:
        answer = self.api.call("POST", "/api/ws/ticket", SIGNED_IN)
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.json()["expires_in"], LIFETIME_S)
        self.ask(f"/api/ws/status?ticket={answer.json()['ticket']}", Authorization=None)
        self.assertEqual(len(self.api.sockets.expected), 1)
        self.assertEqual(self.api.call("POST", "/api/ws/ticket").status, 401)
        # Or the audit would be full of pages that were opened; who may not is another matter.
        self.assertEqual([entry.outcome for entry in self.api.audit.entries], ["refused"])

    def test_that_are_too_old_or_nobodys_let_nobody_in(self) -> None:
        ticket = self.api.tickets.issue(ANN)
        self.api.clock.advance(LIFETIME_S)
        for each in (ticket, "x", ""):
            self.assertEqual(self.refused(f"/api/ws/status?ticket={each}", Authorization=None), 401)


class Refusal(Case):
    """W1: handshakes that are none, and pages that may not."""

    def test_of_what_is_no_handshake(self) -> None:
        for fields, status in (
            ({"Upgrade": None}, 400),
            ({"Upgrade": "h2c"}, 400),
            ({"Connection": "keep-alive"}, 400),
            ({"Sec_WebSocket_Version": "8"}, 426),
            ({"Sec_WebSocket_Version": None}, 426),
            ({"Sec_WebSocket_Key": None}, 400),
            ({"Sec_WebSocket_Key": "short"}, 400),
            ({"Sec_WebSocket_Key": b64encode(b"x" * 15).decode()}, 400),
            ({"Sec_WebSocket_Key": "=" * 24}, 400),
        ):
            self.assertEqual(self.refused(**fields), status, fields)

    def test_says_which_version_there_is(self) -> None:
        answer = parse(self.ask(Sec_WebSocket_Version="8")[1])
        self.assertEqual(answer.headers["sec-websocket-version"], "13")

    def test_of_other_methods_and_channels(self) -> None:
        self.assertEqual(self.refused(method="POST"), 405)
        for path in ("/api/ws/billing", "/api/ws/", "/api/ws", "/api/ws/status/x"):
            self.assertEqual(self.refused(path), 404, path)

    def test_of_pages_of_other_origins(self) -> None:
        for origin in ("https://evil.example", "null", "http://127.0.0.1", "http://evil:9090"):
            self.assertEqual(self.refused(Origin=origin), 403, origin)
        self.ask(Origin="http://127.0.0.1:9090")
        self.assertEqual(len(self.api.sockets.expected), 1)

    def test_of_wrong_credentials(self) -> None:
        self.assertEqual(self.refused(Authorization=basic("admin", "wrong")), 401)
        self.assertEqual(self.refused(Authorization="Bearer x.y.z"), 401)

    def test_of_a_token_in_the_address(self) -> None:
        for query in ("token=x", "access_token=x", "ticket", "period=1&period=2"):
            self.assertIn(
                self.refused(f"/api/ws/status?{query}", Authorization=None), (400, 401), query
            )

    def test_of_a_period_out_of_its_bounds(self) -> None:
        for period in ("0", "0.5", "61", "-1", "nan", "inf", "x", "1e400", ""):
            self.assertEqual(self.refused(f"/api/ws/status?period={period}"), 400, period)

    def test_when_there_are_too_many(self) -> None:
        self.api.sockets.is_full = True
        self.assertEqual(self.refused(), 503)

    def test_of_strangers_when_there_are_too_many(self) -> None:
        """They keep nobody out who says who they are."""
        self.api.sockets.takes_strangers = False
        self.assertEqual(self.refused(Authorization=None), 503)
        self.ask()
        self.assertEqual(len(self.api.sockets.expected), 1)


class Steering(Case):
    def test_pauses_and_resumes(self) -> None:
        body = b'{"action":"pause","type":"status"}'
        headers = SIGNED_IN | {"Content-Type": "application/json", "Content-Length": str(len(body))}
        answer = self.api.call("POST", "/api/ws/control", headers, body)
        self.assertEqual(
            answer.json(),
            {"status": "ok", "action": "pause", "type": "status", "paused": ["status"]},
        )
        self.assertEqual(self.api.feed.paused, {"status"})
        body = b'{"action":"resume"}'
        headers["Content-Length"] = str(len(body))
        answer = self.api.call("POST", "/api/ws/control", headers, body)
        self.assertEqual((answer.json()["type"], answer.json()["paused"]), ("all", []))

    def test_forces_an_update(self) -> None:
        answer = self.api.call("POST", "/api/ws/force-update", SIGNED_IN)
        self.assertEqual(
            answer.json(),
            {"status": "ok", "forced": ["backends", "metrics", "status", "health", "logs"]},
        )
