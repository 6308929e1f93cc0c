"""TLS from real clients: Python's ssl, curl and openssl."""

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from OpenSSL import SSL

from tests.support.authority import Authority, Issued, authority
from tests.support.case import SystemTestCase, ask, relaying, settings, text
from tests.support.daemon import PATIENCE_S, Daemon, wait_for
from tests.support.secure import client_context
from tests.support.server import Server


class TlsSystemTestCase(SystemTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(parents=True)
        self.ca = self.directory / "ca.pem"
        self.ca.write_bytes(authority().pem)

    def store(self, name: str, issued: Issued) -> dict[str, str]:
        """Put a pair where the daemon finds it."""
        cert, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        for path, content in ((cert, issued.pem), (key, issued.key_pem)):
            fresh = path.with_suffix(".new")
            fresh.write_bytes(content)
            fresh.chmod(0o600)
            fresh.rename(path)
        return {"cert": str(cert), "key": str(key)}

    def tls(self, *names: str, **more: Any) -> dict[str, Any]:
        pairs = [self.store(name, authority().issue(name)) for name in names or ("localhost",)]
        return {"tls": {"certificates": pairs, **more}}

    def trusting(self, **more: Any) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca), **more)

    @contextlib.contextmanager
    def connected(
        self, port: int, name: str = "localhost", context: ssl.SSLContext | None = None
    ) -> Iterator[ssl.SSLSocket]:
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE_S) as plain,
            (context or self.trusting()).wrap_socket(plain, server_hostname=name) as secure,
        ):
            yield secure

    def https(
        self, port: int, context: ssl.SSLContext | None = None
    ) -> http.client.HTTPSConnection:
        client = http.client.HTTPSConnection(
            "localhost", port, timeout=PATIENCE_S, context=context or self.trusting()
        )
        self.addCleanup(client.close)
        return client

    def run_client(self, *command: str, send: str = "") -> str:
        done = subprocess.run(
            command, input=send, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        return done.stdout + done.stderr

    def serial(self, port: int, name: str = "localhost") -> int:
        """That of the certificate shown."""
        with self.connected(port, name) as secure:
            certificate = secure.getpeercert()
            assert certificate is not None
            return int(str(certificate["serialNumber"]), 16)


class Clients(TlsSystemTestCase):
    def test_of_python(self) -> None:
        backend = self.backend()
        daemon = self.daemon(settings(backend.address, listener=self.tls()))
        client = self.https(daemon.port())
        for _ in range(3):
            self.assertEqual(ask(client)[0], 200)
        wait_for("the log", lambda: daemon.access_log.count("\n") == 3)
        entry = json.loads(daemon.access_log.splitlines()[0])
        self.assertEqual(entry["scheme"], "https")
        self.assertEqual(entry["tls"]["sni"], "localhost")

    def test_curl(self) -> None:
        daemon = self.daemon(settings(self.backend().address, listener=self.tls()))
        url = f"https://localhost:{daemon.port()}/"
        for version in ("--tlsv1.3", "--tls-max=1.2"):
            version_options = version.split("=")
            said = self.run_client(
                "curl", "-sSv", "--http1.1", *version_options, "--cacert", str(self.ca), url, url
            )
            self.assertEqual(said.count("< HTTP/1.1 200"), 2, said)
            self.assertIn("ALPN", said)

    def test_openssl(self) -> None:
        daemon = self.daemon(settings(self.backend().address, listener=self.tls()))
        at = f"localhost:{daemon.port()}"
        options = ["-CAfile", str(self.ca), "-verify_return_error", "-servername", "localhost"]
        request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        said = self.run_client(
            "openssl", "s_client", "-connect", at, "-ign_eof", *options, send=request
        )
        self.assertIn("Verify return code: 0 (ok)", said)
        self.assertIn("HTTP/1.1 200", said)
        for flags, why in (
            (["-tls1_1"], "protocol"),
            (["-tls1_2", "-cipher", "AES128-SHA"], "handshake failure"),
        ):
            said = self.run_client("openssl", "s_client", "-connect", at, *flags)
            self.assertIn(why, said, flags)
        # T3: renegotiation is off
        said = self.run_client(
            "openssl", "s_client", "-connect", at, "-tls1_2", *options, send="R\n"
        )
        self.assertRegex(said, "no renegotiation|closed|errno")

    def test_a_relayed_connection_may_be_half_closed(self) -> None:
        def serve(connection: socket.socket) -> None:
            said = b""
            while piece := connection.recv(4096):
                said += piece
            connection.sendall(b"you said " + said)
            connection.close()

        server = self.server(serve)
        daemon = self.daemon(relaying(server.address, listener=self.tls()))
        with self.connect(daemon.port()) as plain:
            client = SSL.Connection(client_context(), plain)
            plain.setblocking(True)
            client.set_connect_state()
            client.sendall(b"hello")
            # Says goodbye, and listens on (RFC 8446 section 6.1).
            client.shutdown()
            heard = b""
            with self.assertRaises(SSL.ZeroReturnError):
                while True:
                    heard += client.recv(4096)
        self.assertEqual(heard, b"you said hello")

    def test_that_show_a_certificate(self) -> None:
        """T2"""
        clients = Authority("Clients")
        (self.directory / "clients.pem").write_bytes(clients.pem)
        listener = self.tls(client_ca=str(self.directory / "clients.pem"))
        backend = self.backend()
        daemon = self.daemon(settings(backend.address, listener=listener))
        pair = self.store("alice", clients.issue(subject="alice"))
        context = self.trusting()
        context.load_cert_chain(pair["cert"], pair["key"])
        self.assertEqual(ask(self.https(daemon.port(), context))[0], 200)
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            ask(self.https(daemon.port()))
        self.wait_for_metric(
            daemon, 1, "veloflux_protocol_errors_total", kind="no_client_certificate"
        )


class Sessions(TlsSystemTestCase):
    """T2"""

    def begin(self, port: int, context: ssl.SSLContext, session: Any = None) -> Any:
        """Make one request; returns the connection, closed."""
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE_S) as plain,
            context.wrap_socket(plain, server_hostname="localhost", session=session) as secure,
        ):
            secure.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertIn(b"200 OK", secure.recv(65536))
            return secure.session, secure.session_reused

    def test_are_resumed_by_any_worker_and_its_successor(self) -> None:
        daemon = self.daemon(settings(self.backend().address, listener=self.tls(), workers=2))
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self.trusting()
            context.maximum_version = version
            session, _ = self.begin(daemon.port(), context)
            for _ in range(20):
                # Which of the two it reaches is the kernel's choice.
                self.assertTrue(self.begin(daemon.port(), context, session)[1], version)
        daemon.deaths = 2
        for worker in daemon.workers:
            os.kill(worker, signal.SIGKILL)
        daemon.wait_for_log("died")
        for _ in range(10):
            self.assertTrue(self.begin(daemon.port(), context, session)[1])

    def test_are_not_by_another_daemon(self) -> None:
        address = self.backend().address
        context, sessions = self.trusting(), []
        for _ in range(2):
            daemon = self.daemon(settings(address, listener=self.tls()))
            sessions.append(self.begin(daemon.port(), context))
        again = self.begin(daemon.port(), context, sessions[0][0])
        self.assertFalse(again[1])
        self.assertTrue(self.begin(daemon.port(), context, sessions[1][0])[1])


class Files(TlsSystemTestCase):
    def test_are_read_again_on_sighup(self) -> None:
        """X12: without a lost connection"""
        configuration = settings(self.backend().address, listener=self.tls(), workers=2)
        daemon = self.daemon(configuration)
        client = self.https(daemon.port())
        self.assertEqual(ask(client)[0], 200)
        fresh = authority().issue("localhost")
        self.store("localhost", fresh)
        daemon.reload(text(configuration))
        daemon.wait_for_log(" is in force")
        self.assertEqual(self.serial(daemon.port()), fresh.certificate.serial_number)
        self.assertEqual(ask(client)[0], 200)
        self.assertNotIn("BEGIN", daemon.output)

    def test_come_into_force_by_themselves(self) -> None:
        """X12"""
        daemon = self.daemon(settings(self.backend().address, listener=self.tls()))
        client = self.https(daemon.port())
        self.assertEqual(ask(client)[0], 200)
        (self.directory / "localhost.pem").write_text("half a certi")
        daemon.wait_for_log("has no certificate in PEM form")
        fresh = authority().issue("localhost")
        self.store("localhost", fresh)
        daemon.wait_for_log("files were replaced, and are used from now on")
        self.assertEqual(self.serial(daemon.port()), fresh.certificate.serial_number)
        self.assertEqual(ask(client)[0], 200)
        self.assertNotIn("PRIVATE", daemon.output)

    def test_that_do_not_belong_together_change_nothing(self) -> None:
        """C2"""
        configuration = settings(self.backend().address, listener=self.tls())
        daemon = self.daemon(configuration)
        before = self.serial(daemon.port())
        self.store("other", authority().issue("localhost"))
        (self.directory / "other.pem").rename(self.directory / "localhost.pem")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("is not the key of the certificate")
        self.assertEqual(self.serial(daemon.port()), before)
        self.assertEqual(ask(self.https(daemon.port()))[0], 200)

    def test_of_many_hosts(self) -> None:
        """T1"""
        listener = self.tls("localhost", "*.b.example", "a.b.example")
        daemon = self.daemon(settings(self.backend().address, listener=listener))
        serials = {self.serial(daemon.port(), f"{name}.b.example") for name in ("a", "x", "y")}
        self.assertEqual(len(serials), 2)
        client = self.https(daemon.port())
        self.assertEqual(ask(client, headers={"Host": "a.b.example"})[0], 421)
        self.assertEqual(ask(client)[0], 200)


class AdminListener(TlsSystemTestCase):
    """R5"""

    def ask(self, daemon: Daemon, path: str = "/health") -> tuple[http.client.HTTPResponse, Any]:
        host, _, port = daemon.admin.rpartition(":")
        client = http.client.HTTPSConnection(
            host, int(port), timeout=PATIENCE_S, context=self.trusting()
        )
        self.addCleanup(client.close)
        client.request("GET", path)
        answer = client.getresponse()
        answer.read()
        shown = client.sock.getpeercert()  # type: ignore[union-attr]  # it is connected
        return answer, int(str(shown["serialNumber"]), 16)

    def test_speaks_it(self) -> None:
        pair = self.store("admin", authority().issue("127.0.0.9"))
        admin = {"address": "127.0.0.9:0", "tls": {"certificates": [pair]}}
        daemon = self.daemon(settings(self.backend().address, admin=admin))
        self.assertIn("the admin API is on https://127.0.0.9:", daemon.output)
        answer, serial = self.ask(daemon)
        self.assertEqual(answer.status, 200)
        self.assertIn("max-age=", answer.getheader("Strict-Transport-Security", ""))
        self.assertEqual(self.ask(daemon, "/metrics")[0].status, 401)
        said = self.run_client("curl", "-sS", f"http://{daemon.admin}/health")
        self.assertIn("curl: (", said)
        fresh = authority().issue("127.0.0.9")
        self.store("admin", fresh)
        daemon.wait_for_log("files were replaced")
        self.assertNotEqual(serial, fresh.certificate.serial_number)
        self.assertEqual(self.ask(daemon)[1], fresh.certificate.serial_number)

    def test_may_then_be_reached_from_elsewhere(self) -> None:
        pair = self.store("admin", authority().issue("127.0.0.1", "admin.example"))
        admin = {"address": "0.0.0.0:0", "tls": {"certificates": [pair]}}
        daemon = self.daemon(settings(self.backend().address, admin=admin))
        at = f"admin.example:{daemon.admin.rpartition(':')[2]}"
        said = self.run_client(
            "curl",
            *("-sSv", "--cacert", str(self.ca), "--connect-to", f"{at}:127.0.0.1:"),
            f"https://{at}/health",
        )
        self.assertIn("HTTP/1.1 200", said)


class Backends(TlsSystemTestCase):
    """T5"""

    def secure_server(self, issued: Issued) -> Server:
        """Answers requests over TLS, one on each connection."""
        pair = self.store("backend", issued)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair["cert"], pair["key"])

        def serve(plain: socket.socket) -> None:
            # Whoever refuses the certificate is gone.
            with (
                contextlib.suppress(OSError),
                context.wrap_socket(plain, server_side=True) as secure,
            ):
                if secure.recv(65536):
                    secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
                    secure.unwrap()

        return self.server(serve)

    def configuration(self, server: Server, **tls: Any) -> dict[str, Any]:
        check = {"type": "http", "interval": "200ms", "rise": 1, "fall": 1, "path": "/"}
        backends = [{"address": server.address, "tls": tls}]
        return settings(pool={"backends": backends, "health_check": check})

    def test_that_prove_who_they_are(self) -> None:
        server = self.secure_server(authority().issue("127.0.0.1"))
        daemon = self.daemon(self.configuration(server, ca=str(self.ca)))
        self.assertEqual(self.get(daemon.port()), (200, "secret"))
        daemon.wait_for_any_log("is healthy: answered with status 200")

    def test_that_do_not(self) -> None:
        server = self.secure_server(authority().issue("elsewhere.example"))
        daemon = self.daemon(self.configuration(server, ca=str(self.ca)))
        daemon.wait_for_any_log("is unhealthy: its certificate is not for 127.0.0.1")
        configuration = self.configuration(server, ca=str(self.ca))
        del configuration["pools"][0]["health_check"]
        daemon = self.daemon(configuration)
        status, body = self.get(daemon.port())
        self.assertEqual(status, 502)
        self.assertIn("prove who it is", body)

    def test_of_which_nobody_wants_to_know(self) -> None:
        server = self.secure_server(Authority("Others").issue("elsewhere.example"))
        daemon = self.daemon(self.configuration(server, insecure_skip_verify=True))
        self.assertEqual(self.get(daemon.port()), (200, "secret"))
        self.assertIn("insecure_skip_verify", daemon.output)


class PassedOn(TlsSystemTestCase):
    def test_to_the_backend_of_the_host(self) -> None:
        servers = {name: self.greeter(name) for name in ("a.example", "b.example")}
        pools = [
            {"name": name, "backends": [{"address": server.address}]}
            for name, server in servers.items()
        ]
        rules = [{"host": name, "pool": name} for name in servers]
        listener = {"address": "127.0.0.1:0", "protocol": "tcp", "sni": rules}
        daemon = self.daemon(settings(listeners=[listener], pools=pools, routes=[]))
        for name in servers:
            with self.connected(daemon.port(), name) as secure:
                self.assertEqual(secure.recv(100).decode(), name)
        with self.assertRaises(ssl.SSLError) as caught, self.connected(daemon.port(), "c.example"):
            pass
        self.assertIn("UNRECOGNIZED_NAME", str(caught.exception).upper())

    def greeter(self, name: str) -> Server:
        pair = self.store(name, authority().issue(name))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair["cert"], pair["key"])

        def serve(plain: socket.socket) -> None:
            with context.wrap_socket(plain, server_side=True) as secure:
                secure.sendall(name.encode())

        return self.server(serve)
