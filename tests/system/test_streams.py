"""Live data, from a real client of the real daemon: who gets in, what they see, how it ends."""

import asyncio
import contextlib
import json
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import websockets.asyncio.client

from tests.support.authority import authority
from tests.support.case import Running, settings
from tests.support.daemon import PATIENCE_S, memory, wait_for
from tests.support.server import read_head
from tests.support.watching import Fields, StreamTestCase, Watcher, basic, bearer
from tests.support.websocket import OverHttp1
from tests.system.test_tls import TlsSystemTestCase

CHANNELS = {
    "backends": "/api/backends",
    "metrics": "/api/metrics",
    "status": "/api/status",
    "health": "/api/health",
    "logs": "",
}
ADA = {"email": "ada@example.org", "password": "correct horse battery", "role": "admin"}
CHECK = {"interval": "200ms", "timeout": "200ms", "rise": 1, "fall": 1}


class Case(StreamTestCase):
    def setUp(self) -> None:
        self.one, self.two = self.backend("one"), self.backend("two")
        self.running = self.daemon(
            settings(self.one.address, self.two.address, pool={"health_check": CHECK})
        )

    def account(self, email: str, role: str = "admin") -> tuple[str, dict[str, Any]]:
        """Make a user who signs in: their id, and what that gives."""
        credentials = {"email": email, "password": ADA["password"]}
        user = self.made("/api/users", credentials | {"role": role})
        return user["id"], self.made("/api/auth/login", credentials, {})

    def key(self, by: Fields, **more: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.made("/api/auth/keys", {"name": "ci", **more}, by)
        return made

    def ask(self, count: int, path: str = "/") -> None:
        """Traffic."""
        for _ in range(count):
            self.assertEqual(self.get(self.running.port(), path)[0], 200)


def shape(value: object) -> object:
    """What a document is made of, whatever the numbers in it."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value[:1]]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else "other"


class Admission(Case):
    def ways(self, token: str, key: str) -> Iterator[tuple[str, Callable[[str], Watcher]]]:
        """Each way to say who one is."""

        def by_ticket(channel: str) -> Watcher:
            ticket = self.made("/api/ws/ticket", by=bearer(token))["ticket"]
            return self.watch(f"{channel}?ticket={ticket}", {})

        def by_message(proof: str) -> Callable[[str], Watcher]:
            def way(channel: str) -> Watcher:
                watcher = self.watch(channel, {})
                watcher.say("auth", token=proof)
                return watcher

            return way

        yield "password", lambda channel: self.watch(channel)
        yield "token", lambda channel: self.watch(channel, bearer(token))
        yield "key", lambda channel: self.watch(channel, bearer(key))
        yield "ticket", by_ticket
        yield "a token in the first message", by_message(token)
        yield "a key in the first message", by_message(key)

    def test_of_each_proof_to_each_channel(self) -> None:
        _, signed = self.account(ADA["email"])
        key = self.key(bearer(signed["token"]))["key"]
        for way, enter in self.ways(signed["token"], key):
            for channel, path in CHANNELS.items():
                with self.subTest(way=way, channel=channel):
                    watcher = enter(channel)
                    self.assertEqual(watcher.next()["type"], "connected")
                    first = watcher.next()
                    self.assertEqual((first["type"], first["channel"]), (channel, channel))
                    if path:
                        self.assertEqual(shape(first["data"]), shape(self.got(path)))
                    watcher.connection.close()
                    self.assertEqual(watcher.connection.close_code, 1000)

    def test_is_for_who_may_read(self) -> None:
        _, signed = self.account(ADA["email"])
        key = self.key(bearer(signed["token"]), permissions=["pools:read"])["key"]
        self.assertEqual(self.turned_away("metrics", bearer(key)), 403)
        said = self.watch("logs", {})
        said.say("auth", token=key)
        self.assertEqual(said.closed(), (4403, "this needs logs:read"))
        watcher = self.watch("backends", bearer(key))
        watcher.say("subscribe", channel="logs")
        self.assertIn("logs:read", watcher.until("error")["data"]["detail"])

    def test_is_refused(self) -> None:
        ticket = self.made("/api/ws/ticket")["ticket"]
        self.watch(f"status?ticket={ticket}", {})
        for path, by, options, status in (
            ("status", basic("admin", "a slip of the hand"), {}, 401),
            ("status", bearer("a.b.c"), {}, 401),
            (f"status?ticket={ticket}", {}, {}, 401),  # it was used
            ("status?token=x", {}, {}, 400),
            ("status", None, {"origin": "https://evil.example"}, 403),
            ("status", None, {"origin": "null"}, 403),
            ("billing", None, {}, 404),
            ("status?period=0", None, {}, 400),
        ):
            with self.subTest(path=path, by=by, options=options):
                self.assertEqual(self.turned_away(path, by, **options), status)
        self.watch("status", origin=f"http://{self.running.admin}").until("status")

    def test_is_not_of_who_does_not_say_who_they_are(self) -> None:
        silent, wrong, early = (self.watch("status", {}) for _ in range(3))
        wrong.say("auth", token="a.b.c")
        early.say("ping")
        for watcher in (wrong, early, silent):
            self.assertEqual(watcher.closed()[0], 4401)
            self.assertEqual(watcher.seen, [])

    def test_ends_with_what_it_was_given_for(self) -> None:
        """W4: within seconds, whatever ends it, and nobody else's."""
        ends: list[tuple[str, Watcher, int]] = []

        def somebody(name: str, code: int) -> tuple[str, dict[str, Any]]:
            user_id, signed = self.account(f"{name}@example.org")
            ends.append((name, self.watch("status", bearer(signed["token"])), code))
            return user_id, signed

        staying = self.watch("status?period=1", bearer(self.account("eve@example.org")[1]["token"]))
        disabled, _ = somebody("disabled", 4403)
        deleted, _ = somebody("deleted", 4403)
        changed, _ = somebody("changed", 4401)
        lowered, _ = somebody("lowered", 4401)
        _, left = somebody("left", 4401)
        by = bearer(self.account("ada@example.org")[1]["token"])
        gone = self.key(by)
        ends.append(("key", self.watch("status", bearer(gone["key"])), 4401))
        soon = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
        brief = self.key(by, expires_at=soon)["key"]
        ends.append(("brief", self.watch("status", bearer(brief)), 4401))
        for _, watcher, _ in ends:
            watcher.until("status")
        for method, path, body, caller in (
            ("PUT", f"/api/users/{disabled}", {"enabled": False}, None),
            ("DELETE", f"/api/users/{deleted}", None, None),
            ("PUT", f"/api/users/{changed}", {"password": "another horse battery"}, None),
            ("PUT", f"/api/users/{lowered}", {"role": "viewer"}, None),
            ("POST", "/api/auth/logout", None, bearer(left["token"])),
            ("DELETE", f"/api/auth/keys/{gone['id']}", None, by),
        ):
            self.assertIn(self.call(method, path, body, caller)[0], (200, 204), path)
        for name, watcher, code in ends:
            with self.subTest(name):
                self.assertEqual(watcher.closed()[0], code)
        staying.seen.clear()
        staying.until("status", lambda read: read["seq"] > 0)


class Content(Case):
    def test_moves_with_traffic(self) -> None:
        watcher = self.watch("metrics?period=1")
        first = watcher.until("metrics")["data"]["requests_total"]
        self.ask(30)
        watcher.until("metrics", lambda read: read["data"]["requests_total"] == first + 30)
        seqs = [read["seq"] for read in watcher.seen if read["type"] == "metrics"]
        self.assertEqual(seqs, list(range(seqs[0], seqs[0] + len(seqs))))

    def test_shows_the_log_of_each_request(self) -> None:
        watcher = self.watch("logs")
        watcher.until("logs")
        for number in range(5):
            self.ask(1, f"/number/{number}")
        lines: list[dict[str, Any]] = []
        while len(lines) < 5:
            lines += watcher.until("logs")["data"]["lines"]
        self.assertEqual([line["path"] for line in lines], [f"/number/{n}" for n in range(5)])
        wait_for("five lines in the file", lambda: self.running.access_log.count("\n") == 5)
        written = [json.loads(line) for line in self.running.access_log.splitlines()]
        self.assertEqual(lines, written)

    def test_shows_a_backend_that_dies_and_one_that_comes_back(self) -> None:
        watcher = self.watch("backends?period=60")
        watcher.until("backends")
        other = self.watch("backends")
        other.say("subscribe", channel="backends", filter={"pool": "nothing"})
        self.one.close()
        update = watcher.until("backend_status_update", lambda read: "un" in read["data"]["state"])
        told = {"pool": "app", "address": self.one.address, "state": "unhealthy"}
        self.assertEqual(update["data"], told)
        self.backend("one", self.one.port)
        update = watcher.until("backend_status_update")
        self.assertEqual(update["data"], told | {"state": "healthy"})
        other.say("ping")
        other.until("pong")
        self.assertNotIn("backend_status_update", [read["type"] for read in other.seen])

    def test_is_of_many_channels_on_one_connection(self) -> None:
        watcher = self.watch("status")
        for channel in CHANNELS:
            watcher.say("subscribe", channel=channel, period=1)
        waiting = set(CHANNELS)
        while waiting:
            waiting.discard(watcher.next()["channel"])
        watcher.say("unsubscribe", channel="metrics")
        watcher.say("ping")
        watcher.until("pong")
        watcher.seen.clear()
        for _ in range(2):
            watcher.until("status")
        self.assertNotIn("metrics", [read["channel"] for read in watcher.seen])

    def test_can_be_held_and_forced(self) -> None:
        watcher = self.watch("status?period=1")
        watcher.until("status")
        steered = self.made("/api/ws/control", {"action": "pause", "type": "status"})
        self.assertEqual(steered["paused"], ["status"])
        watcher.say("ping")
        watcher.until("pong")
        watcher.seen.clear()
        # Two periods of another channel, in which there is nothing of this one.
        other = self.watch("health?period=1")
        for _ in range(3):
            other.until("health")
        self.made("/api/ws/force-update", {"type": "status"})
        self.assertTrue(watcher.until("status")["forced"])
        self.assertEqual(len(watcher.seen), 1)
        self.assertEqual(self.made("/api/ws/control", {"action": "resume"})["paused"], [])
        for _ in range(2):
            self.assertNotIn("forced", watcher.until("status"))

    def test_can_be_held_by_a_watcher_and_caught_up_with(self) -> None:
        watcher, other = (self.watch("status?period=1") for _ in range(2))
        last = watcher.until("status", lambda read: read["seq"] > 0)["seq"]
        watcher.say("pause")
        watcher.say("ping")  # which is not answered now
        other.until("status", lambda read: read["seq"] > last + 2)
        watcher.seen.clear()
        watcher.say("resume")
        now = watcher.until("status")["seq"]
        self.assertGreater(now, last)
        watcher.say("resync", seq=last)
        missed = [watcher.until("status")["seq"] for _ in range(now - last)]
        self.assertEqual(missed, list(range(last + 1, now + 1)))
        watcher.say("resync", seq=10**9)
        watcher.until("status")
        watcher.say("resync", channel="metrics", seq=0)
        self.assertIn("is not watched", watcher.until("error")["data"]["detail"])


class Bytes(Case):
    """W1 to W3, byte by byte."""

    def bare(self) -> socket.socket:
        host, _, port = self.running.admin.rpartition(":")
        connection = socket.create_connection((host, int(port)), PATIENCE_S)
        self.addCleanup(connection.close)
        return connection

    def head(self, **fields: str | None) -> bytes:
        asked: dict[str, str | None] = {
            "Host": "localhost",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            **self.operator,
        }
        asked |= {name.replace("_", "-"): value for name, value in fields.items()}
        lines = [f"{name}: {value}\r\n" for name, value in asked.items() if value is not None]
        return f"GET /api/ws/status HTTP/1.1\r\n{''.join(lines)}\r\n".encode()

    def told(self, connection: socket.socket, code: int) -> bool:
        """Whether a connection is closed with this code."""
        came, goodbye = b"", struct.pack("!H", code)
        with contextlib.suppress(ConnectionResetError):
            while goodbye not in came and (piece := connection.recv(65536)):
                came += piece
        return goodbye in came

    def test_of_handshakes_that_are_none(self) -> None:
        for fields, status in (
            ({"Upgrade": None}, 400),
            ({"Connection": "close"}, 400),
            ({"Sec_WebSocket_Version": "8", "Connection": "Upgrade, close"}, 426),
            ({"Sec_WebSocket_Key": "short", "Connection": "Upgrade, close"}, 400),
        ):
            with self.subTest(fields=fields):
                connection = self.bare()
                connection.sendall(self.head(**fields))
                self.assertTrue(read_head(connection).startswith(b"HTTP/1.1 %d " % status))

    def test_of_a_handshake_in_pieces(self) -> None:
        connection = self.bare()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = self.head(Sec_WebSocket_Extensions="permessage-deflate", Sec_WebSocket_Protocol="x")
        for at in range(0, len(head), 16):
            connection.sendall(head[at : at + 16])
        answer = read_head(connection).lower()
        self.assertTrue(answer.startswith(b"http/1.1 101 "), answer)
        self.assertIn(b"sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=", answer)
        # Nothing is agreed on: neither what inflates, nor a protocol.
        self.assertNotIn(b"extensions", answer)
        self.assertNotIn(b"protocol:", answer)

    def test_of_frames_that_may_not_be(self) -> None:
        for name, frame, code in (
            ("unmasked", b"\x81\x02{}", 1002),
            ("compressed", b"\xc1\x82" + bytes(4) + b"{}", 1002),
            ("a long ping", b"\x89\xfe\x00\x7e" + bytes(4 + 126), 1002),
            ("no UTF-8", b"\x81\x82" + bytes(4) + b"\xff\xff", 1007),
            ("2^62 bytes", b"\x81\xff\x40" + bytes(7 + 4), 1009),
        ):
            with self.subTest(name):
                connection = self.bare()
                connection.sendall(self.head())
                read_head(connection)
                connection.sendall(frame)
                self.assertTrue(self.told(connection, code))
        connection = self.bare()
        connection.sendall(self.head())
        read_head(connection)
        flood = (b"\x01\x80" + bytes(4)) + (b"\x00\x80" + bytes(4)) * 100_000
        with contextlib.suppress(ConnectionError):
            connection.sendall(flood)
        self.watch("status").until("status")

    def test_of_frames_before_the_answer(self) -> None:
        """No client may (RFC 6455, section 4.1): they are nobody's, and hold nothing up."""
        connection = self.bare()
        connection.sendall(self.head() + b"\x89\x80" + bytes(4) + self.head())
        self.assertTrue(read_head(connection).startswith(b"HTTP/1.1 101 "))
        self.watch("status").until("status")


class Crowd(Case):
    def test_of_hundreds_sees_the_same_and_loses_nothing(self) -> None:
        key = self.key(bearer(self.account(ADA["email"])[1]["token"]))["key"]
        with self.returns_descriptors(self.running.process.pid):
            # In a thread of its own: a browser that other tests drive has a loop in this one.
            crowd = Running(lambda: asyncio.run(self.watched_by(400, bearer(key))))
            seen = crowd.result()
        self.assertEqual(len(seen), 400)
        said: dict[int, str] = {}
        for messages in seen:
            seqs = [json.loads(message)["seq"] for message in messages]
            self.assertEqual(seqs, list(range(seqs[0], seqs[0] + len(seqs))))
            # The first is each one's own.
            for seq, message in zip(seqs[1:], messages[1:], strict=True):
                self.assertEqual(said.setdefault(seq, message), message)
        self.assertEqual(self.got("/api/health")["status"], "healthy")

    async def watched_by(self, count: int, by: Fields) -> list[list[str]]:
        """What each of so many is sent in five periods, from when all are there."""
        arriving = asyncio.Semaphore(32)
        there = asyncio.Barrier(count)

        async def one() -> list[str]:
            async with arriving:
                connecting = websockets.asyncio.client.connect(
                    self.url("metrics?period=1"),
                    additional_headers=by,
                    proxy=None,
                    open_timeout=PATIENCE_S,
                )
                connection = await connecting
            await there.wait()
            messages: list[str] = []
            while len(messages) < 5:
                message = str(await asyncio.wait_for(connection.recv(), PATIENCE_S))
                if json.loads(message)["type"] == "metrics":
                    messages.append(message)
            await connection.close()
            return messages

        return await asyncio.gather(*(one() for _ in range(count)))

    def test_of_those_who_read_nothing_is_let_go_of(self) -> None:
        """W4: their number and their messages are bounded, and others go on."""
        addresses = [f"127.0.0.1:{port}" for port in range(1, 401)]
        self.running = self.daemon(settings(*addresses))
        reading = self.watch("backends?period=60", max_size=None)
        going_on = Running(reading.closed)
        slow = [self.who_reads_nothing() for _ in range(8)]
        before = memory(self.running.process.pid)
        for _ in range(80):
            self.made("/api/ws/force-update", {"type": "backends"})
        sent = sum(len(json.dumps(read)) for read in reading.seen)
        # An answer has no later state, so each waits: at last there is no room. Faster than so
        # many in a second they would be too many.
        for _ in range(300):
            for watcher in slow:
                watcher.send("?")
            time.sleep(1 / 19)
        for watcher in slow:
            while watcher.close_code is None:
                watcher._hear()
            self.assertEqual(watcher.close_code, 1013)
        self.assertGreater(sent, 5_000_000)
        self.assertLess(memory(self.running.process.pid) - before, 30_000_000)
        self.made("/api/ws/force-update", {"type": "backends"})
        self.running.signal(signal.SIGTERM)
        self.assertEqual(going_on.result()[0], 1001)
        forced = [read for read in reading.seen if read.get("forced")]
        # On a slow machine some may be left out, but not unsaid.
        self.assertEqual(sum(1 + read.get("skipped", 0) for read in forced), 81)
        self.assertEqual(forced[-1]["seq"], 81)

    def who_reads_nothing(self) -> OverHttp1:
        host, _, port = self.running.admin.rpartition(":")
        connection = socket.socket()
        self.addCleanup(connection.close)
        connection.settimeout(PATIENCE_S)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, int(port)))
        ticket = self.made("/api/ws/ticket")["ticket"]
        return OverHttp1(connection, f"/api/ws/backends?period=60&ticket={ticket}")


class Ends(Case):
    def test_with_the_daemon(self) -> None:
        watchers = [self.watch(channel) for channel in CHANNELS]
        for watcher in watchers:
            watcher.next()
        self.running.signal(signal.SIGTERM)
        for watcher in watchers:
            self.assertEqual(watcher.closed(), (1001, "the server goes away"))
        self.assertEqual(self.running.wait(), 0)


class Secure(StreamTestCase, TlsSystemTestCase):
    def test_streams(self) -> None:
        pair = self.store("admin", authority().issue("127.0.0.9"))
        admin = {"address": "127.0.0.9:0", "tls": {"certificates": [pair]}}
        self.running = self.daemon(settings(self.backend().address, admin=admin))
        self.context = self.trusting()
        token = self.made("/api/ws/ticket")["ticket"]
        origin = f"https://{self.running.admin}"
        watchers = [self.watch(f"status?ticket={token}", {}, origin=origin)]
        watchers += [self.watch(channel) for channel in CHANNELS]
        for watcher in watchers:
            watcher.next()
            watcher.next()
            watcher.say("ping")
            watcher.until("pong")
        watchers[0].connection.close()
        self.assertEqual(watchers[0].connection.close_code, 1000)
        self.assertEqual(self.turned_away("status", origin=f"http://{self.running.admin}"), 403)
        self.running.signal(signal.SIGTERM)
        for watcher in watchers[1:]:
            self.assertEqual(watcher.closed()[0], 1001)
        self.assertEqual(self.running.wait(), 0)
