"""The access log: lines that parse whatever is in them, and a destination that may fail."""

import errno
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import GET, OK, POST, Rig, get
from veloflux.core.model.traffic import AccessLog as AccessLogModel
from veloflux.core.model.traffic import Backend, Pool, Route, Share
from veloflux.edge.access_log import AccessLog

PATIENCE_S = 10.0
NASTY = b"/a\"b/<script>'{}`|^"


def eventually(case: SynchronousTestCase, seen: Callable[[], bool]) -> None:
    """Wait for the log's thread."""
    until = time.monotonic() + PATIENCE_S
    while not seen() and time.monotonic() < until:
        time.sleep(0.001)
    case.assertTrue(seen())


def write_into(room: list[int]) -> Callable[[int, bytes], int]:
    """A write for which there is so much room, and then an error."""

    def write(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "no space")
        count = os.write(fd, data[: room[0]])
        room[0] -= count
        return count

    return write


def wait_for_drops(case: SynchronousTestCase, log: AccessLog, count: int) -> None:
    """Wait until exactly so many lines are lost."""
    lost: list[int] = []

    def is_there() -> bool:
        lost.append(log.take_dropped())
        return sum(lost) >= count

    eventually(case, is_there)
    case.assertEqual(sum(lost), count)


class Json(SynchronousTestCase):
    def test_every_field(self) -> None:
        rig = Rig(self)
        client = rig.client()
        client.send(
            b"POST /a/%41?secret=1 HTTP/1.1\r\nHost: A.example:80\r\nContent-Length: 5\r\n\r\n"
        )
        rig.wait(1)
        client.send(b"hello")
        rig.wait(2)
        rig.backend.answer(OK[:-1])
        rig.wait(1)
        rig.backend.answer(OK[-1:])
        entry = rig.entry()
        request_id = entry.pop("request_id")
        self.assertEqual(client.answer().field(b"x-request-id"), request_id.encode())
        self.assertRegex(entry.pop("ts"), r"^2023-11-14T22:30:04\.\d\d\dZ$")
        times = entry.pop("t")
        self.assertEqual(set(times), {"queue_ms", "connect_ms", "ttfb_ms", "total_ms"})
        self.assertAlmostEqual(times["ttfb_ms"], 3000, delta=1)
        self.assertAlmostEqual(times["total_ms"], 4000, delta=1)
        self.assertEqual(
            entry,
            {
                "trace_id": "",
                "listener": "web",
                "client_ip": "198.51.100.7",
                "peer_ip": "198.51.100.7",
                "method": "POST",
                "scheme": "http",
                "host": "a.example",
                "path": "/a/A",
                "query_len": 9,
                "protocol": "HTTP/1.1",
                "status": 200,
                "bytes_in": 5,
                "bytes_out": 2,
                "route": "all",
                "pool": "app",
                "backend": "10.0.0.1:80",
                "pick_reason": "round_robin",
                "ratelimit": "",
                "attempts": 1,
                "termination": "--",
                "error": "",
                "config_version": 1,
            },
        )

    def test_odd_paths_stay_in_their_string(self) -> None:
        """Log injection"""
        rig = Rig(self)
        paths = (NASTY, b'/"},"status":200', b"/%0a%0d%22", b'/x"' * 500, b"/" + b"x" * 5000)
        for path in paths:
            client = rig.client()
            client.send(get(path))
            rig.backend.connections[-1].send(OK)
            client.close()
        entries = rig.entries(len(paths))
        for path, entry in zip(paths, entries, strict=True):
            shown = entry["path"].encode()
            self.assertTrue(path.replace(b"%0a%0d", b"%0A%0D").startswith(shown), shown)
            self.assertLessEqual(len(shown), 1024)
            self.assertEqual(entry["status"], 200)

    def test_odd_names_stay_in_their_strings(self) -> None:
        """Log injection: by whoever writes the configuration, too"""
        name = 'x"\\\n\u2028é'
        rig = Rig(
            self,
            pools=(Pool(name, (Backend(Rig.FIRST),)),),
            routes=(Route(name, pools=(Share(name),)),),
        )
        rig.change(listeners=(replace(rig.snapshot.listeners[0], name=name),))
        client = rig.client()
        client.send(GET)
        rig.backend.answer(OK)
        (line,) = rig.log_lines(1)
        entry = json.loads(line)
        self.assertEqual((entry["route"], entry["pool"], entry["listener"]), (name, name, name))

    def test_secrets_stay_out(self) -> None:
        """(g) no secret in a log"""
        for log_format in ("json", "combined"):
            rig = Rig(self, log_format=log_format)
            client = rig.client()
            client.send(
                get(
                    b"/x?token=secret",
                    b"Authorization: Bearer secret\r\nCookie: a=secret\r\n"
                    b"Referer: https://a.example/x?secret=secret\r\n",
                )
            )
            rig.backend.answer(OK)
            client.send(b"GET /y?secret HTTP/1.1\r\nHost: secret, secret\r\n\r\n")
            self.assertNotIn("secret", "".join(rig.log_lines(2)))

    def test_a_long_method_is_none(self) -> None:
        rig = Rig(self)
        for method, status in ((b"M" * 64, 200), (b"M" * 65, 400)):
            client = rig.client()
            client.send(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
            if status == 200:
                rig.backend.answer(OK)
            self.assertEqual(client.answer().status, status)
        self.assertEqual(rig.entries(2)[0]["method"], "M" * 64)
        self.assertEqual(rig.count("veloflux_http_requests_total", "other"), 2)


class Combined(SynchronousTestCase):
    LINE = re.compile(
        r'(?P<ip>\S+) - - \[(?P<when>[^\]]+)\] "(?P<request>[^"]*)" (?P<status>\d{3}|-)'
        r' (?P<size>\d+|-) "(?P<referrer>[^"]*)" "(?P<agent>[^"]*)"'
    )

    def line(self, wire: bytes) -> dict[str, str]:
        rig = Rig(self, log_format="combined")
        client = rig.client()
        client.send(wire)
        if rig.backend.attempts:
            rig.backend.answer(OK)
        (line,) = rig.log_lines(1)
        found = self.LINE.fullmatch(line)
        assert found is not None, line
        return found.groupdict()

    def test_every_field(self) -> None:
        line = self.line(get(b"/a?b", b"Referer: https://b.example/c?d\r\nUser-Agent: curl/8\r\n"))
        self.assertEqual(
            line,
            {
                "ip": "198.51.100.7",
                "when": "14/Nov/2023:22:30:00 +0000",
                "request": "GET /a HTTP/1.1",
                "status": "200",
                "size": "2",
                "referrer": "https://b.example/c",
                "agent": "curl/8",
            },
        )

    def test_nothing_ends_a_string(self) -> None:
        """Log injection"""
        line = self.line(get(NASTY, b'Referer: "\\\xe9\r\nUser-Agent: a" "b\\\t\x80\r\n'))
        self.assertEqual(line["request"], "GET /a\\x22b/<script>'{}`|^ HTTP/1.1")
        self.assertEqual(line["referrer"], "\\x22\\x5c\\xe9")
        self.assertEqual(line["agent"], "a\\x22 \\x22b\\x5c\\x09\\x80")

    def test_nothing_is_too_long(self) -> None:
        line = self.line(get(b"/" + b"x" * 5000, b"User-Agent: " + b"y" * 5000 + b"\r\n"))
        self.assertLess(len(line["request"] + line["agent"]), 2100)

    def test_what_could_not_be_read(self) -> None:
        line = self.line(b"nonsense\r\n\r\n")
        self.assertEqual((line["status"], line["size"]), ("400", "-"))


class Destination(SynchronousTestCase):
    def test_is_opened_anew(self) -> None:
        """After logrotate has moved it"""
        rig = Rig(self)
        client = rig.client()
        client.send(GET)
        rig.backend.answer(OK)
        rig.log_lines(1)
        os.rename(rig.log_path, rig.log_path + ".1")
        client.send(GET)
        rig.backend.answer(OK)
        rig.wait(1)
        eventually(self, lambda: self.count(rig.log_path + ".1") == 2)
        rig.service.reopen()
        client.send(POST)
        rig.backend.answer(OK)
        self.assertEqual(rig.entry()["method"], "POST")

    def count(self, path: str) -> int:
        with open(path, encoding="utf-8") as log:
            return log.read().count("\n")

    def test_cannot_be_opened_anew(self) -> None:
        """X10: the old one is better than none."""
        rig = Rig(self)
        client = rig.client()
        directory = self.mktemp()
        os.mkdir(directory)
        rig.change(access_log=AccessLogModel(os.path.join(directory, "log")))
        moved = directory + ".moved"
        os.rename(directory, moved)
        rig.service.reopen()
        for count in (1, 2):
            client.send(GET)
            rig.backend.answer(OK)
            rig.wait(1)
            eventually(self, lambda c=count: self.count(os.path.join(moved, "log")) == c)
        os.rename(moved, directory)
        self.assertEqual(rig.count("veloflux_access_log_dropped_total"), 0)

    def test_a_full_disk_drops_lines_and_serves_on(self) -> None:
        """X10"""
        rig = Rig(self)
        client = rig.client()
        rig.change(access_log=AccessLogModel("/dev/full"))
        for _ in range(3):
            client.send(GET)
            rig.backend.answer(OK)
            self.assertEqual(client.answer().status, 200)
        rig.wait(1)
        eventually(self, lambda: rig.count("veloflux_access_log_dropped_total") == 3)

    def test_a_reader_that_stands_still_holds_up_nobody(self) -> None:
        """X10: so many lines wait, and the rest is dropped."""
        path = self.mktemp()
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        log = AccessLog(path)
        line = "x" * 999 + "\n"
        for _ in range(100_000):
            log.append(line)
        dropped = log.take_dropped()
        self.assertGreater(dropped, 20_000)
        self.assertLessEqual(dropped, 36_000)
        self.assertEqual(log.take_dropped(), 0)
        log.close(0.01)
        os.close(reader)

    def test_a_line_that_was_torn_spoils_no_other(self) -> None:
        """X10: the disk is full in the middle of a line."""
        path, room = self.mktemp(), [13]

        log = AccessLog(path, write_into(room))
        for line in ("one\n", "two\n", "three\n", "four\n"):
            log.append(line)
        log.flush()
        wait_for_drops(self, log, 2)
        for more in (0, 1):
            room[0] = more
            log.append("lost\n")
            log.flush()
            wait_for_drops(self, log, 1)
        room[0] = 100
        log.append("five\n")
        log.close()
        self.assertEqual(log.take_dropped(), 0)
        with open(path, encoding="utf-8") as written:
            self.assertEqual(written.read(), "one\ntwo\nthree\nfive\n")

    def test_lines_lost_in_a_pipe_are_counted(self) -> None:
        """X10: those cut short, and those that were to follow."""
        path, room = self.mktemp(), [4 * 1001 + 1500]
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

        log = AccessLog(path, write_into(room))
        for _ in range(10):
            log.append("x" * 1000 + "\n")
        log.close()
        self.assertEqual(os.read(reader, 1 << 16).count(b"\n"), 5)
        os.close(reader)
        self.assertEqual(log.take_dropped(), 5)

    def test_a_new_file_begins_with_its_first_line(self) -> None:
        """Though the one before it ends with half of one."""
        path, room = self.mktemp(), [2, 0]

        def write(fd: int, data: bytes) -> int:
            if room and not room[0]:
                room.clear()
                raise OSError(errno.ENOSPC, "no space")
            return os.write(fd, data[: room.pop(0)] if room else data)

        log = AccessLog(path, write)
        log.append("torn\n")
        log.flush()
        wait_for_drops(self, log, 1)
        os.rename(path, path + ".1")
        log.reopen()
        log.append("whole\n")
        log.close()
        with open(path, encoding="utf-8") as written:
            self.assertEqual(written.read(), "whole\n")

    def test_lines_lost_by_a_log_that_was_replaced_are_counted(self) -> None:
        """X10: its thread stands still until its reader has gone."""
        rig = Rig(self)
        path = self.mktemp()
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        rig.change(access_log=AccessLogModel(path))
        log = rig.access_log
        for _ in range(300 * 250):
            log.append("x" * 999 + "\n")
        rig.change(access_log=AccessLogModel(rig.log_path))
        before = rig.count("veloflux_access_log_dropped_total")
        self.assertGreater(before, 0)
        os.close(reader)
        eventually(self, lambda: log.is_over)
        lost = rig.count("veloflux_access_log_dropped_total")
        self.assertGreater(lost, before + 200 * 250)
        self.assertLessEqual(lost, 300 * 250)

    def test_a_reader_that_is_gone(self) -> None:
        """X10"""
        path = self.mktemp()
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        log = AccessLog(path)
        os.close(reader)
        log.append("line\n")
        log.close()
        self.assertEqual(log.take_dropped(), 1)

    def test_a_pipe_without_a_reader_is_refused(self) -> None:
        """X10: waiting for one would stop everything."""
        path = self.mktemp()
        os.mkfifo(path)
        rig = Rig(self)
        version = rig.snapshot.version + 1
        new = replace(rig.snapshot, version=version, access_log=AccessLogModel(path))
        with self.assertRaises(ValueError) as caught:
            rig.prepare(new)
        self.assertIn("logging.access.path", str(caught.exception))

    def test_a_place_that_is_none_is_refused(self) -> None:
        """C3: and the old configuration keeps its log."""
        rig = Rig(self)
        version = rig.snapshot.version + 1
        new = replace(rig.snapshot, version=version, access_log=AccessLogModel("/nowhere/log"))
        self.assertRaises(ValueError, rig.prepare, new)
        client = rig.client()
        client.send(GET)
        rig.backend.answer(OK)
        self.assertEqual(rig.entry()["config_version"], 1)

    def test_a_new_place(self) -> None:
        rig = Rig(self)
        client = rig.client()
        client.send(GET)
        rig.backend.answer(OK)
        rig.log_lines(1)
        rig.log_path = self.mktemp()
        rig.change(access_log=AccessLogModel(rig.log_path, "combined"))
        client.send(GET)
        rig.backend.answer(OK)
        (line,) = rig.log_lines(1)
        self.assertIn('"GET / HTTP/1.1" 200 2', line)

    def test_no_log(self) -> None:
        rig = Rig(self)
        rig.change(access_log=None)
        client = rig.client()
        client.send(GET)
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)
        self.assertEqual(rig.count("veloflux_http_requests_total", "2xx"), 1)
        rig.log_lines(0)

    def test_what_is_left_is_written_at_the_end(self) -> None:
        rig = Rig(self)
        client = rig.client()
        client.send(GET)
        rig.backend.answer(OK)
        rig.service.close()
        self.assertEqual(self.count(rig.log_path), 1)

    def test_lines_are_whole_in_a_pipe(self) -> None:
        """POSIX write(): what others write to it does not come between, up to PIPE_BUF bytes."""
        path = self.mktemp()
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        logs = [AccessLog(path), AccessLog(path)]
        for n in range(100):
            for log, letter in zip(logs, "ab", strict=True):
                log.append(letter * (50 + n) + "\n")
        for log in logs:
            log.close()
        lines = os.read(reader, 1 << 20).decode().split("\n")[:-1]
        os.close(reader)
        for letter in "ab":
            mine = [line for line in lines if line[0] == letter]
            self.assertEqual(mine, [letter * (50 + n) for n in range(100)])
