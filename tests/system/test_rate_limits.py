"""A route's limit holds for the node: for all its workers, and when one of them dies."""

import http.client
import os
import signal
import threading
from collections import Counter

from tests.support.daemon import PATIENCE_S, wait_for
from tests.system.test_processes import Case, configuration

# None of it comes back while a test runs.
BURST = 60
LIMITED = f"    rate_limit: {{requests_per_second: 0.001, burst: {BURST}}}\n"


def status(port: int) -> int:
    """Of an answer on a connection of its own, which any worker may take."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


class NodeTests(Case):
    def test_workers_count_together_and_what_is_counted_outlives_them(self) -> None:
        """R1, X8"""
        text = configuration(self.backend.address, more=LIMITED)
        daemon = self.daemon(text + "logging: {access: {path: access.log}}\n")
        port = daemon.port()
        statuses = Counter(status(port) for _ in range(BURST // 2))
        wait_for("the log", lambda: daemon.access_log.count("\n") == BURST // 2)
        lines = daemon.access_log.split("\n")[:-1]
        # By the number that its ids begin with.
        workers = {line.partition('"request_id":"')[2][0] for line in lines}
        self.assertEqual(len(workers), 2)
        daemon.deaths = 1
        dying = daemon.workers[0]
        os.kill(dying, signal.SIGKILL)
        wait_for("a successor", lambda: len(set(daemon.workers) - {dying}) == 2)
        statuses.update(status(port) for _ in range(BURST))
        self.assertEqual(statuses, {200: BURST, 429: BURST // 2})

    def test_clients_at_the_same_time_get_no_more(self) -> None:
        daemon = self.daemon(configuration(self.backend.address, more=LIMITED))
        port, found = daemon.port(), []

        def ask() -> None:
            found.extend(status(port) for _ in range(BURST // 2))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        granted = found.count(200)
        self.assertEqual(len(found), 2 * BURST)
        # Two workers that decide in the same microseconds may grant one too many.
        self.assertGreaterEqual(granted, BURST)
        self.assertLess(granted, BURST * 1.1)
