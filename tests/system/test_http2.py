"""HTTP/2 from real clients: curl and h2load (of nghttp2)."""

import json
import re
import signal

from tests.support.case import Running, settings, text
from tests.support.content import blocks, digest
from tests.support.daemon import PATIENCE_S, wait_for
from tests.system.test_tls import TlsSystemTestCase

SIZE = 20_000_000


class Clients(TlsSystemTestCase):
    def test_curl_over_tls(self) -> None:
        daemon = self.daemon(settings(self.backend().address, listener=self.tls()))
        url = f"https://localhost:{daemon.port()}/"
        said = self.run_client("curl", "-sSv", "--http2", "--cacert", str(self.ca), url, url)
        self.assertEqual(said.count("< HTTP/2 200"), 2, said)
        wait_for("the log", lambda: daemon.access_log.count("\n") == 2)
        entry = json.loads(daemon.access_log.splitlines()[0])
        self.assertEqual((entry["protocol"], entry["scheme"]), ("HTTP/2", "https"))

    def test_curl_in_clear_text(self) -> None:
        daemon = self.daemon(settings(self.backend().address, listener={"h2c": True}))
        url = f"http://localhost:{daemon.port()}/"
        said = self.run_client("curl", "-sSv", "--http2-prior-knowledge", url)
        self.assertIn("< HTTP/2 200", said)
        said = self.run_client("curl", "-sSv", url)
        self.assertIn("< HTTP/1.1 200", said)
        # An upgrade is not followed (S18).
        said = self.run_client("curl", "-sSv", "--http2", url)
        self.assertIn("< HTTP/1.1 200", said)

    def test_a_big_body_both_ways(self) -> None:
        daemon = self.daemon(
            settings(self.backend().address, listener={"h2c": True}, limits={"max_body_bytes": 0})
        )
        sent = self.directory / "sent"
        sent.write_bytes(b"".join(blocks(SIZE)))
        url = f"http://localhost:{daemon.port()}/"
        curl = ("curl", "-sS", "--http2-prior-knowledge")
        for options in ([], ["-H", "Transfer-Encoding: chunked"]):
            said = self.run_client(*curl, *options, "--data-binary", f"@{sent}", url)
            self.assertEqual(said, digest(blocks(SIZE)))
        for query in ("", "&chunked=1"):
            came = self.directory / "came"
            said = self.run_client(*curl, "-o", str(came), f"{url}bytes?n={SIZE}{query}")
            self.assertEqual(said, "")
            self.assertTrue(came.read_bytes() == sent.read_bytes())

    def test_h2load(self) -> None:
        for workers in (1, 2):
            daemon = self.daemon(
                settings(self.backend().address, listener={"h2c": True}, workers=workers)
            )
            said = self.run_client(
                "h2load",
                *("-n", "1000", "-c", "8", "-m", "50"),
                f"http://localhost:{daemon.port()}/",
            )
            self.assertIn("1000 succeeded, 0 failed, 0 errored, 0 timeout", said)
            self.assertTrue(re.search(r"status codes: 1000 2xx", said), said)

    def test_nothing_is_lost_by_a_reload(self) -> None:
        configuration = settings(self.backend().address, listener={"h2c": True})
        daemon = self.daemon(configuration)
        url = f"http://localhost:{daemon.port()}/"
        load = Running(
            lambda: self.run_client("h2load", *("-n", "2000", "-c", "4", "-m", "9"), url)
        )
        wait_for("traffic", lambda: daemon.access_log.count("\n") > 100)
        daemon.reload(text(configuration | {"logging": {"access": {"path": "access.log"}}}))
        said = load.result()
        self.assertIn("2000 succeeded, 0 failed, 0 errored, 0 timeout", said)

    def test_a_drain_ends_what_was_begun(self) -> None:
        """X8"""
        backend = self.backend()
        daemon = self.daemon(settings(backend.address, listener={"h2c": True}))
        url = f"http://localhost:{daemon.port()}/held"
        asking = Running(lambda: self.run_client("curl", "-sSv", "--http2-prior-knowledge", url))
        backend.arrived.acquire()
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_for_log("drain")
        backend.release.set()
        self.assertIn("< HTTP/2 200", asking.result())
        self.assertEqual(daemon.process.wait(PATIENCE_S), 0)
