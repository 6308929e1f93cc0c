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


class Backends(TlsSystemTestCase):
    """Another daemon, which speaks HTTP/2, as the backend."""

    def chain(self, *, secure: bool = False) -> int:
        limits = {"max_body_bytes": 0}
        listener = self.tls() if secure else {"h2c": True}
        second = self.daemon(settings(self.backend().address, listener=listener, limits=limits))
        configuration = settings(
            f"127.0.0.1:{second.port()}",
            listener={"h2c": True},
            limits=limits,
            pool={"protocol": "h2"},
        )
        if secure:
            tls = {"server_name": "localhost", "ca": str(self.ca)}
            configuration["pools"][0]["backends"][0]["tls"] = tls
        else:
            # Whose name is that of its address: over TLS that is not what its certificate says.
            configuration["pools"][0]["health_check"] = {"path": "/health", "interval": "1s"}
        return self.daemon(configuration).port()

    def test_curl(self) -> None:
        for secure in (False, True):
            url = f"http://localhost:{self.chain(secure=secure)}/"
            for version in ("--http1.1", "--http2-prior-knowledge"):
                self.assertEqual(self.run_client("curl", "-sS", version, url), "one")
                said = self.run_client("curl", "-sSI", version, url)
                self.assertIn(" 200", said.splitlines()[0])

    def test_a_big_body_both_ways(self) -> None:
        url = f"http://localhost:{self.chain()}/"
        sent = self.directory / "sent"
        sent.write_bytes(b"".join(blocks(SIZE)))
        for version in ("--http1.1", "--http2-prior-knowledge"):
            curl = ("curl", "-sS", version)
            for options in ([], ["-H", "Transfer-Encoding: chunked"]):
                said = self.run_client(*curl, *options, "--data-binary", f"@{sent}", url)
                self.assertEqual(said, digest(blocks(SIZE)))
            for query in ("", "&chunked=1"):
                came = self.directory / "came"
                said = self.run_client(*curl, "-o", str(came), f"{url}bytes?n={SIZE}{query}")
                self.assertEqual(said, "")
                self.assertTrue(came.read_bytes() == sent.read_bytes())

    def test_h2load_and_nghttp(self) -> None:
        url = f"http://localhost:{self.chain()}/"
        said = self.run_client("h2load", *("-n", "2000", "-c", "8", "-m", "50"), url)
        self.assertIn("2000 succeeded, 0 failed, 0 errored, 0 timeout", said)
        said = self.run_client("nghttp", "-nv", "-p", "32", url, f"{url}bytes?n=300000")
        self.assertEqual(said.count(":status: 200"), 2, said)
        self.assertNotIn("RST_STREAM", said)
