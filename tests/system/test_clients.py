"""Real clients against the real daemon: curl, wrk, WebSockets, bare sockets, and a lot of bytes."""

import hashlib
import json
import re
import socket
import subprocess
import threading

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.case import Running, Samples, SystemTestCase, ask, relaying, reset, settings
from tests.support.content import Digest, blocks, digest_of
from tests.support.daemon import Daemon, descriptors, memory, wait_for
from tests.support.demo import Demo
from tests.support.server import read_all, read_head

MIB = 1024 * 1024


class DemoTestCase(SystemTestCase):
    """With the demonstration's backend, which is Twisted's own HTTP server."""

    def setUp(self) -> None:
        self.demo = Demo()
        self.addCleanup(self.demo.close)


class CurlTests(DemoTestCase):
    def curl(self, *arguments: str, stdin: bytes = b"") -> str:
        ran = subprocess.run(
            ["curl", "-sS", "--no-progress-meter", "--max-time", "20", *arguments],
            input=stdin,
            capture_output=True,
            timeout=30,
        )
        self.assertEqual((ran.returncode, ran.stderr), (0, b""))
        return ran.stdout.decode()

    def test_as_people_use_it(self) -> None:
        daemon = self.daemon(settings(self.demo.address, workers=2))
        url = f"http://127.0.0.1:{daemon.port()}"
        plain = json.loads(self.curl(f"{url}/a?b=c"))
        self.assertEqual((plain["method"], plain["target"]), ("GET", "/a?b=c"))
        with self.subTest("HTTP/1.0"):
            answer = self.curl("-i", "--http1.0", f"{url}/old")
            self.assertRegex(answer, r"^HTTP/1\.[01] 200 ")
            self.assertIn('"target": "/old"', answer)
        with self.subTest("HEAD"):
            answer = self.curl("-I", f"{url}/bytes?n=1000000")
            self.assertRegex(answer, r"(?i)content-length: 1000000\r\n")
        with self.subTest("a body in chunks, of unknown length"):
            body = b"x" * 3_000_000
            told = json.loads(self.curl("-T", "-", f"{url}/up", stdin=body))
            self.assertEqual((told["method"], told["body_bytes"]), ("PUT", len(body)))
        with self.subTest("leave asked before a body"):
            answer = self.curl(
                "-v", "--stderr", "-", "-H", "Expect: 100-continue", "--data-binary", "@-", url,
                stdin=b"y" * 2_000_000,
            )  # fmt: skip
            self.assertIn("HTTP/1.1 100 Continue", answer)
            self.assertIn('"body_bytes": 2000000', answer)
        with self.subTest("a range is the backend's business"):
            self.assertIn("range: bytes=0-99", self.curl("-r", "0-99", url).lower())
        with self.subTest("a connection is kept"):
            made = self.curl("-o", "/dev/null", "-w", "%{num_connects} ", f"{url}/[1-20]")
            self.assertEqual(sum(map(int, made.split())), 1)
        with self.subTest("many at once"):
            codes = self.curl(
                "--parallel", "--parallel-max", "50", "-o", "/dev/null", "-w", "%{http_code}\n",
                f"{url}/slow?ms=10&[1-300]",
            )  # fmt: skip
            self.assertEqual(codes.split().count("200"), 300)
        with self.subTest("too large"):
            code = self.curl(
                "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", "@-", url,
                stdin=b"z" * (10 * MIB + 1),
            )  # fmt: skip
            self.assertEqual(code, "413")


class WrkTests(SystemTestCase):
    def test_no_request_fails(self) -> None:
        def serve(connection: socket.socket) -> None:
            while read_head(connection):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        daemon = self.daemon(settings(self.server(serve).address, workers=2))
        ran = subprocess.run(
            ["wrk", "-t1", "-c64", "-d2s", f"http://127.0.0.1:{daemon.port()}/"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertNotIn("Socket errors", ran.stdout)
        self.assertNotIn("Non-2xx", ran.stdout)
        found = re.search(r"(\d+) requests in", ran.stdout)
        assert found is not None, ran.stdout + ran.stderr
        # wrk does not count what was under way at its end.
        page = self.wait_for_the_end(daemon)
        counted = page.sum("veloflux_http_requests_total")
        self.assertGreater(int(found[1]), 100)
        self.assertLessEqual(int(found[1]), counted)
        self.assertLessEqual(counted, int(found[1]) + 64)

    def wait_for_the_end(self, daemon: Daemon) -> Samples:
        return self.wait_for_metric(daemon, 0.0, "veloflux_connections", side="downstream")


class WebSocketTests(DemoTestCase):
    def test_messages_pings_and_the_end_of_both(self) -> None:
        daemon = self.daemon(settings(self.demo.address))
        [worker] = daemon.workers
        self.get(daemon.port())
        opened = descriptors(worker)
        address = f"ws://127.0.0.1:{daemon.port()}/ws"
        with connect(address, max_size=None, compression=None) as talking:
            for message in ("hello", "", b"\x00\xff", b"x" * 3_000_000, "ü" * 50_000):
                talking.send(message)
                self.assertEqual(talking.recv(20), message)
            self.assertTrue(talking.ping().wait(20))
            talking.close(4001, "enough")
            with self.assertRaises(ConnectionClosed):
                talking.recv(20)
            # The backend's own answer to our close.
            self.assertEqual(talking.close_code, 4001)
        # One pipe may be kept for the next.
        wait_for("the end", lambda: descriptors(worker) <= opened + 2)
        wait_for("its line", lambda: '"status":101' in daemon.access_log)
        # As browsers do it, with compression on offer.
        with connect(address) as talking:
            talking.send("again")
            self.assertEqual(talking.recv(20), "again")


class HalfCloseTests(SystemTestCase):
    """L7: through a TCP listener, each direction ends for itself."""

    def test_the_client_is_through_first(self) -> None:
        def serve(connection: socket.socket) -> None:
            digest = hashlib.sha256(read_all(connection)).hexdigest()
            connection.sendall(digest.encode())

        daemon = self.daemon(relaying(self.server(serve).address))
        [worker] = daemon.workers
        opened = descriptors(worker)
        body = b"".join(blocks(3_000_000))
        for _ in range(3):
            client = self.connect(daemon.port())
            client.sendall(body)
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(client).decode(), hashlib.sha256(body).hexdigest())
            client.close()
        wait_for("the end", lambda: descriptors(worker) <= opened + 8)

    def test_the_server_is_through_first(self) -> None:
        heard: list[bytes] = []

        def serve(connection: socket.socket) -> None:
            connection.sendall(b"said all")
            connection.shutdown(socket.SHUT_WR)
            heard.append(read_all(connection))

        server = self.server(serve)
        daemon = self.daemon(relaying(server.address))
        client = self.connect(daemon.port())
        self.assertEqual(read_all(client), b"said all")
        client.sendall(b"answer")
        client.shutdown(socket.SHUT_WR)
        self.assertTrue(server.ended.acquire(timeout=20))
        self.assertEqual(heard, [b"answer"])


class ManyBytesTests(SystemTestCase):
    """200 MB each way, through HTTP and TCP at once; the worker holds none of it."""

    SIZE = 200_000_000

    def test_all_arrive_and_none_is_kept(self) -> None:
        def echo(connection: socket.socket) -> None:
            while piece := connection.recv(1 << 18):
                connection.sendall(piece)

        backend, echoing = self.backend(), self.server(echo)
        configuration = settings(backend.address, limits={"max_body_bytes": 0})
        configuration["pools"].append({"name": "echo", "backends": [{"address": echoing.address}]})
        configuration["listeners"].append(
            {"address": "127.0.0.2:0", "protocol": "tcp", "pool": "echo"}
        )
        daemon = self.daemon(configuration)
        [worker] = daemon.workers
        web, relay = daemon.port(0), daemon.port(1)
        before = memory(worker)
        for work in (
            lambda: self.download(web, chunked=False),
            lambda: self.download(web, chunked=True),
            lambda: self.upload(web, chunked=False),
            lambda: self.upload(web, chunked=True),
            lambda: self.both_ways(relay),
        ):
            self.assertEqual(work(), digest_of(self.SIZE))
        self.assertLess(memory(worker, "VmHWM") - before, 12 * MIB)

    def download(self, port: int, *, chunked: bool) -> str:
        client = self.client(port)
        client.request("GET", f"/bytes?n={self.SIZE}{'&chunked=1' * chunked}")
        response, came = client.getresponse(), Digest()
        while piece := response.read1(1 << 18):
            came.add(piece)
        return str(came)

    def upload(self, port: int, *, chunked: bool) -> str:
        headers = {} if chunked else {"Content-Length": str(self.SIZE)}
        _, answer = ask(
            self.client(port),
            method="POST",
            body=blocks(self.SIZE),
            headers=headers,
            encode_chunked=chunked,
        )
        return answer

    def both_ways(self, port: int) -> str:
        with socket.create_connection(("127.0.0.2", port), 30) as client:
            sending = Running(lambda: self.send(client))
            came = Digest()
            while piece := client.recv(1 << 18):
                came.add(piece)
            sending.result()
        return str(came)

    def send(self, client: socket.socket) -> None:
        for piece in blocks(self.SIZE):
            client.sendall(piece)
        client.shutdown(socket.SHUT_WR)


class GoneClientTests(SystemTestCase):
    """L7: what a client no longer waits for is not worked on."""

    def test_leaves_nothing_behind(self) -> None:
        at_work, gone = threading.Semaphore(0), threading.Semaphore(0)

        def serve(connection: socket.socket) -> None:
            try:
                head = read_head(connection)
                at_work.release()
                if b"/download" in head:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
                    for piece in blocks(1_000_000_000):
                        connection.sendall(piece)
                while connection.recv(65536):
                    pass
            finally:
                gone.release()

        daemon = self.daemon(settings(self.server(serve).address))
        [worker] = daemon.workers
        opened = descriptors(worker)
        requests = (
            b"GET /waiting HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nhalf",
            b"GET /download HTTP/1.1\r\nHost: x\r\n\r\n",
        )
        count = 0
        for leave in (reset, socket.socket.close):
            for request in requests:
                for _ in range(5):
                    client = self.connect(daemon.port())
                    client.sendall(request)
                    self.assertTrue(at_work.acquire(timeout=20))
                    leave(client)
                    self.assertTrue(gone.acquire(timeout=20), (leave, request))
                    count += 1
        self.wait_for_metric(daemon, 0.0, "veloflux_upstream_inflight")
        wait_for("the end", lambda: descriptors(worker) <= opened + 8)
        wait_for("the lines", lambda: daemon.access_log.count("\n") == count)
        ends = {json.loads(line)["termination"] for line in daemon.access_log.splitlines()}
        self.assertEqual(ends, {"CH", "CR", "CD"})
