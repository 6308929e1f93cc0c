"""Where the real daemon logs, and what happens when that place is full, gone or stands still."""

import fcntl
import http.client
import json
import os
import re
import signal
import socket
import tempfile
from pathlib import Path

from tests.support.case import SystemTestCase, ask, settings
from tests.support.daemon import Daemon, wait_for

COMBINED = re.compile(
    r'(?P<client>\S+) - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "(?P<request>[^"]*)" '
    r'(?P<status>\d{3}) (?P<bytes>\d+|-) "(?P<referrer>[^"]*)" "(?P<agent>[^"]*)"'
)
DROPPED = "veloflux_access_log_dropped_total"


class AccessLogTests(SystemTestCase):
    def lines(self, daemon: Daemon, count: int) -> list[str]:
        """Wait until there are so many lines."""
        wait_for(f"{count} lines", lambda: daemon.access_log.count("\n") >= count)
        return daemon.access_log.splitlines()

    def test_as_json(self) -> None:
        daemon = self.daemon(settings(self.backend().address, workers=2))
        for number in range(50):
            self.get(daemon.port(), f"/a%20path/{number}?secret=hush")
        self.get(daemon.port(), "/", "POST")
        self.assertEqual(self.get(daemon.port(), '/"quoted"\\', "GET")[0], 400)
        lines = self.lines(daemon, 52)
        self.assertEqual(len(lines), 52)
        found = [json.loads(line) for line in lines]
        paths = {each["path"] for each in found}
        self.assertLessEqual({f"/a%20path/{number}" for number in range(50)}, paths)
        self.assertEqual(len({each["request_id"] for each in found}), 52)
        self.assertNotIn("hush", daemon.access_log)
        one = next(each for each in found if each["path"] == "/a%20path/7")
        expected = {"method": "GET", "status": 200, "bytes_out": 3, "route": "app", "pool": "app"}
        self.assertEqual({name: one[name] for name in expected}, expected)

    def test_as_combined(self) -> None:
        access = {"path": "access.log", "format": "combined"}
        daemon = self.daemon(settings(self.backend().address, access=access))
        client = self.client(daemon.port())
        agent = 'Curl/1 "quoted" \\ \xff'
        headers = {"User-Agent": agent.encode("latin-1"), "Referer": "http://a/b?token=hush"}
        ask(client, "/path?secret=hush", headers=headers)
        [line] = self.lines(daemon, 1)
        match = COMBINED.fullmatch(line)
        assert match is not None, line
        self.assertEqual(match["request"], "GET /path HTTP/1.1")
        self.assertEqual((match["status"], match["bytes"]), ("200", "3"))
        self.assertEqual(match["referrer"], "http://a/b")
        self.assertEqual(match["agent"], "Curl/1 \\x22quoted\\x22 \\x5c \\xff")

    def test_none(self) -> None:
        daemon = self.daemon(settings(self.backend().address, access=None))
        self.get(daemon.port())
        self.wait_for_metric(daemon, 1.0, "veloflux_http_requests_total")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0)
        self.assertNotIn("request_id", daemon.output)
        self.assertFalse((daemon.directory / "access.log").exists())

    def test_is_rotated(self) -> None:
        """As logrotate does it: rename, SIGHUP; no line is lost, and each is in one file."""
        daemon = self.daemon(settings(self.backend().address, workers=2))
        client, asked = self.client(daemon.port()), 0
        names = [daemon.directory / f"access.log.{number}" for number in range(3)]
        for name in names:
            for _ in range(20):
                ask(client, f"/{asked}")
                self.get(daemon.port(), f"/{asked + 1}")
                asked += 2
            (daemon.directory / "access.log").rename(name)
            daemon.signal(signal.SIGHUP)
            daemon.wait_for_log("nothing has changed")
            # A worker opens the new file with the next line that it writes.
            wait_for(
                "the new file",
                lambda: (
                    self.get(daemon.port(), "/more") and (daemon.directory / "access.log").exists()
                ),
            )
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0)
        whole = "".join(name.read_text() for name in names) + daemon.access_log
        paths = [json.loads(line)["path"] for line in whole.splitlines()]
        numbers = [int(path[1:]) for path in paths if path != "/more"]
        self.assertEqual(sorted(numbers), list(range(asked)))

    def test_a_full_disk(self) -> None:
        """X10: serving goes on, and what is lost is counted."""
        daemon = self.daemon(settings(self.backend().address, access={"path": "/dev/full"}))
        self.serves(daemon, 100)
        self.wait_for_metric(daemon, 100.0, DROPPED)
        daemon.wait_for_log("/dev/full cannot be written, lines are dropped")
        self.assertEqual(daemon.output.count("cannot be written"), 1)

    def test_a_directory_that_goes_and_comes_back(self) -> None:
        place = self.directory()
        place.mkdir()
        daemon = self.daemon(
            settings(self.backend().address, access={"path": str(place / "access.log")})
        )
        self.serves(daemon, 10)
        log = place / "access.log"
        wait_for("lines", lambda: log.exists() and log.read_text().count("\n") == 10)
        moved = place.rename(place.with_name("moved"))
        daemon.signal(signal.SIGUSR1)
        daemon.wait_for_log("log files are opened anew")
        self.serves(daemon, 10)
        daemon.wait_for_log("cannot be opened anew")
        # Until it can be, the old one takes the lines.
        wait_for("lines", lambda: (moved / "access.log").read_text().count("\n") == 20)
        place.mkdir()
        daemon.signal(signal.SIGUSR1)
        daemon.wait_for_log("log files are opened anew")
        self.serves(daemon, 10)
        wait_for("lines", lambda: log.exists() and log.read_text().count("\n") == 10)

    def directory(self) -> Path:
        """A place where nothing is yet."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        return Path(directory.name) / "logs"

    def test_a_reader_that_is_gone(self) -> None:
        """X10: `twistd -n veloflux | head -1`."""
        reader, writer = os.pipe()
        daemon = self.daemon(settings(self.backend().address, access={"path": None}), stdout=writer)
        os.close(writer)
        self.serves(daemon, 10)
        with open(reader) as lines:
            self.assertIn('"status":200', lines.readline())
        self.serves(daemon, 100)
        wait_for("a loss", lambda: self.metrics(daemon).sum(DROPPED) >= 100)
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0)

    def test_a_named_pipe_without_a_reader_is_refused(self) -> None:
        """To open one would wait for its reader, and the start or the reload with it."""
        place = self.directory()
        os.mkfifo(place)
        daemon = Daemon(json.dumps(settings(self.backend().address, access={"path": str(place)})))
        self.addCleanup(daemon.close)
        self.assertEqual(daemon.wait(), 1)
        self.assertIn(
            f"logging.access.path: [Errno 6] No such device or address: '{place}'", daemon.output
        )

    def serves(self, daemon: Daemon, count: int) -> None:
        client = self.client(daemon.port())
        for _ in range(count):
            self.assertEqual(ask(client), (200, "one"))


class StandstillTests(SystemTestCase):
    """X10: nobody reads the pipe that both logs go to, and it is full."""

    def test_holds_up_nothing(self) -> None:
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        backend = self.backend()
        ports = []
        for _ in range(2):
            with socket.create_server(("127.0.0.1", 0)) as free:
                ports.append(free.getsockname()[1])
        check = {"interval": "100ms", "timeout": "100ms", "rise": 1, "fall": 1}
        daemon = Daemon(
            json.dumps(
                settings(
                    backend.address,
                    admin={"address": f"127.0.0.1:{ports[0]}"},
                    listener={"address": f"127.0.0.1:{ports[1]}"},
                    pool={"health_check": check},
                    access={"path": None},
                )
            ),
            arguments=("--logfile=-",),
            stdout=writer,
        )
        self.addCleanup(daemon.close)
        os.close(writer)
        wait_for("the start", lambda: self.is_ready(ports[0]))
        # Each turn is a line in the log of the daemon itself.
        for _ in range(20):
            for status in (503, 200):
                backend.health = 500 if status == 503 else 200
                wait_for("the turn", lambda s=status: self.get(ports[1])[0] == s)
        self.assertTrue(self.is_ready(ports[0]))
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0)

    def is_ready(self, port: int) -> bool:
        try:
            return self.get(port, "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False
