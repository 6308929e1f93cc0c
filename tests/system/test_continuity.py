"""What is under way goes on: through reloads, and through the death of another worker."""

import http.client
import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

from websockets.sync.client import connect

from tests.support.case import Running, Samples, SystemTestCase, ask, settings, text
from tests.support.content import Digest, blocks, digest_of
from tests.support.daemon import Daemon, has_connection, wait_for
from tests.support.demo import Demo

PACE_S = 0.005
FAILURES = (OSError, http.client.HTTPException)


def echo(connection: socket.socket) -> None:
    while piece := connection.recv(65536):
        connection.sendall(piece)


class ReloadTests(SystemTestCase):
    """Principle 4: nothing is recycled that a change does not touch. C4."""

    RELOADS = 20
    DOWNLOAD = 100_000_000

    def test_all_that_runs_goes_on(self) -> None:
        demo = Demo()
        self.addCleanup(demo.close)
        self.done = threading.Event()
        self.addCleanup(self.done.set)
        self.relayed = self.server(echo)
        self.app, self.other, self.demo = self.backend(), self.backend("other"), demo
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.free = free.getsockname()[1]
        daemon = self.daemon(self.variant(0))
        web, relay = daemon.port(0), daemon.port(1)
        workers = daemon.workers
        under_way = [
            Running(lambda: self.upload(web)),
            Running(lambda: self.download(web)),
            Running(lambda: self.talk(web)),
            Running(lambda: self.relay(relay)),
            Running(lambda: self.ask_often(web)),
        ]
        for number in range(1, self.RELOADS + 1):
            daemon.reload(text(self.variant(number)))
            daemon.wait_for_log(f"configuration {number + 1} is in force")
            status = ("other", "one")[number % 2]
            self.assertEqual(self.get(web, "/other"), (200, status))
        self.done.set()
        for each in under_way:
            sent, came = each.result()
            self.assertEqual(sent, came)
        self.assertEqual(daemon.workers, workers)

    def variant(self, number: int) -> dict[str, Any]:
        """One of the configurations: all but the route `app` and the relay is always changed."""
        # The upload lasts as long as the reloads do.
        whole = settings(self.app.address, workers=2, route={"max_body_bytes": 0})
        whole["listeners"].append({"address": "127.0.0.2:0", "protocol": "tcp", "pool": "relayed"})
        other = (self.other, self.app)[number % 2]
        whole["pools"] += [
            {"name": "relayed", "backends": [{"address": self.relayed.address}]},
            {"name": "demo", "backends": [{"address": self.demo.address}]},
            {"name": f"other-{number}", "backends": [{"address": other.address}]},
        ]
        whole["routes"] = [
            {"id": "other", "path_prefix": "/other", "pool": f"other-{number}"},
            {"id": "demo", "path_prefix": "/ws", "pool": "demo"},
            *whole["routes"],
        ]
        if number % 2:
            whole["listeners"].insert(0, {"address": f"127.0.0.1:{self.free}"})
            whole["logging"]["access"]["format"] = "combined"
        return whole

    def until_done(self) -> Iterator[bytes]:
        for piece in blocks(1 << 40):
            yield piece[:65536]
            if self.done.wait(PACE_S):
                return

    def upload(self, port: int) -> tuple[str, str]:
        sent = Digest()

        def body() -> Iterator[bytes]:
            for piece in self.until_done():
                sent.add(piece)
                yield piece

        client = self.client(port)
        client.request("POST", "/", body=body(), encode_chunked=True)
        came = client.getresponse().read().decode()
        return str(sent), came

    def download(self, port: int) -> tuple[str, str]:
        came = Digest()
        client = self.client(port)
        client.request("GET", f"/bytes?n={self.DOWNLOAD}")
        response = client.getresponse()
        while piece := response.read(65536):
            came.add(piece)
            self.done.wait(PACE_S)
        return digest_of(self.DOWNLOAD), str(came)

    def talk(self, port: int) -> tuple[str, str]:
        sent, came = Digest(), Digest()
        with connect(f"ws://127.0.0.1:{port}/ws", max_size=None) as talking:
            for piece in self.until_done():
                sent.add(piece)
                talking.send(piece)
                answer = talking.recv(30)
                assert isinstance(answer, bytes)
                came.add(answer)
        return str(sent), str(came)

    def relay(self, port: int) -> tuple[str, str]:
        sent, came = Digest(), Digest()
        with socket.create_connection(("127.0.0.2", port), 30) as client:
            for piece in self.until_done():
                sent.add(piece)
                client.sendall(piece)
                left = len(piece)
                while left:
                    answer = client.recv(left)
                    left -= len(answer) or left
                    came.add(answer)
        return str(sent), str(came)

    def ask_often(self, port: int) -> tuple[set[object], set[object]]:
        kept, answers = self.client(port), set()
        while not self.done.wait(PACE_S):
            answers.add(ask(kept))
            answers.add(self.get(port))
        return {(200, "one")}, answers


class DeathTests(SystemTestCase):
    """X8: kill -9 of one worker under load."""

    def test_costs_its_own_requests_alone(self) -> None:
        good, ill = self.backend("good"), self.backend("ill")
        ill.health = 500
        check = {"interval": "200ms", "timeout": "2s", "rise": 1, "fall": 1}
        daemon = self.daemon(
            settings(good.address, ill.address, pool={"health_check": check}, workers=2)
        )
        daemon.wait_for_any_log(f"backend {ill.address} of pool app is unhealthy")
        self.done = threading.Event()
        self.addCleanup(self.done.set)
        victim, other = daemon.workers
        clients = self.spread(daemon, victim, other)
        watching = Running(lambda: self.watch(daemon))
        loads = {
            pid: [Running(lambda client=client: self.load(client)) for client in of_worker]
            for pid, of_worker in clients.items()
        }
        name = "veloflux_http_requests_total"
        wait_for("both workers' counts", lambda: self.metrics(daemon).sum(name) > 500)
        daemon.deaths = 1
        os.kill(victim, signal.SIGKILL)
        daemon.wait_for_log("its successor starts in 0.00 s")
        before = sum(good.paths.values())
        wait_for("two workers", lambda: self.metrics(daemon).sum("veloflux_workers") == 2)
        wait_for("more load", lambda: sum(good.paths.values()) > before + 1000)
        counted = self.metrics(daemon).sum(name)
        wait_for("the successor's counts", lambda: self.metrics(daemon).sum(name) > counted)
        self.done.set()
        for pid, running in loads.items():
            for each in running:
                answers, failures = each.result()
                self.assertEqual(set(answers), {(200, "good")})
                # The connection broke under at most one request; the next was served.
                self.assertLessEqual(failures, 1 if pid == victim else 0)
        self.assertGreater(watching.result(), 5)
        self.assertEqual([path for path in ill.paths if path != "/health"], [])
        self.wait_for_metric(daemon, 1.0, "veloflux_worker_restarts_total")

    def spread(self, daemon: Daemon, *workers: int) -> dict[int, list[http.client.HTTPConnection]]:
        """Open connections until each worker has some; returns them by worker."""
        found: dict[int, list[http.client.HTTPConnection]] = {pid: [] for pid in workers}
        while not all(len(clients) >= 3 for clients in found.values()):
            client = self.client(daemon.port())
            # Whoever has answered keeps it; before that, it may be handed over.
            self.assertEqual(ask(client), (200, "good"))
            (pid,) = (pid for pid in workers if has_connection(pid, client.sock.getsockname()[1]))
            found[pid].append(client)
        return found

    def load(self, client: http.client.HTTPConnection) -> tuple[Counter[object], int]:
        """Ask and ask, on one connection as long as there is one: the answers and the failures."""
        answers: Counter[object] = Counter()
        failures = 0
        while not self.done.is_set():
            try:
                answers[ask(client)] += 1
            except FAILURES:
                failures += 1
                client.close()
        return answers, failures

    def watch(self, daemon: Daemon) -> int:
        """See that no counter ever falls; returns how many pages were read."""
        pages = 0
        before: dict[object, float] = {}
        while not self.done.wait(0.02):
            now = counters(self.metrics(daemon))
            for key, value in before.items():
                assert now.get(key, -1.0) >= value, f"{key} fell from {value} to {now.get(key)}"
            before = now
            pages += 1
        return pages


def counters(page: Samples) -> dict[object, float]:
    """Every sample that must not fall."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for sample in page.all
        if sample.name.endswith(("_total", "_count", "_sum", "_bucket"))
    }
