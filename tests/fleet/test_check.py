from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from twisted.internet.error import ConnectBindError, ConnectionRefusedError, DNSLookupError
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from veloflux import __version__
from veloflux.core.model.address import Address
from veloflux.core.model.traffic import HealthCheck
from veloflux.core.wire.http2.error import Code
from veloflux.core.wire.http2.frames import SETTINGS, frame, reset
from veloflux.fleet.check import MAX_ANSWER_BYTES, Check, Verdict

HTTP = HealthCheck(path="/up?deep=1", expected_status=((200, 299), (401, 401)))
TCP = HealthCheck(type="tcp")
BACKEND = Address("192.0.2.7", 8000)
HELLO = frame(SETTINGS, 0, 0)


class CheckTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.verdicts: list[Verdict] = []

    def tearDown(self) -> None:
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def start(self, how: HealthCheck, address: Address = BACKEND) -> Check:
        return Check(self.reactor, address, how, self.verdicts.append)

    def connect(self, check: Check) -> tuple[Protocol, StringTransport]:
        protocol, transport = check.buildProtocol(None), StringTransport()
        assert protocol is not None
        protocol.makeConnection(transport)
        return protocol, transport

    def close(self, protocol: Protocol) -> None:
        protocol.connectionLost(Failure(ConnectionRefusedError()))

    def judge(self, *chunks: bytes) -> Verdict:
        """The verdict on an answer that comes in these pieces, before its end."""
        protocol, _ = self.connect(self.start(HTTP))
        for chunk in chunks:
            protocol.dataReceived(chunk)
        verdicts = list(self.verdicts)
        self.close(protocol)
        self.assertEqual(len(self.verdicts), 1)
        return (verdicts or [Verdict(None, "none before the end")])[0]


class HttpTests(CheckTestCase):
    def test_asks_for_the_path_by_the_backends_address(self) -> None:
        protocol, transport = self.connect(self.start(HTTP))
        self.assertEqual(
            transport.value(),
            b"GET /up?deep=1 HTTP/1.1\r\nHost: 192.0.2.7:8000\r\n"
            b"User-Agent: veloflux-health/%s\r\nAccept: */*\r\nConnection: close\r\n\r\n"
            % __version__.encode(),
        )
        self.close(protocol)

    def test_a_unix_socket_is_asked_as_localhost(self) -> None:
        check = self.start(HTTP, Address(path="/run/app.sock"))
        self.assertEqual(self.reactor.unixClients[0][0], "/run/app.sock")
        protocol, transport = self.connect(check)
        self.assertIn(b"\r\nHost: localhost\r\n", transport.value())
        self.close(protocol)

    def test_a_header_comes_before_the_request(self) -> None:
        check = Check(self.reactor, BACKEND, HTTP, self.verdicts.append, b"PROXY UNKNOWN\r\n")
        protocol, transport = self.connect(check)
        self.assertTrue(transport.value().startswith(b"PROXY UNKNOWN\r\nGET /up?deep=1 HTTP/1.1"))
        self.close(protocol)

    def test_connects_to_the_address_within_the_timeout(self) -> None:
        check = self.start(HTTP)
        self.assertEqual(self.reactor.tcpClients[0][:4], ("192.0.2.7", 8000, check, HTTP.timeout_s))
        check.stop()

    def test_judges_by_the_expected_statuses(self) -> None:
        for status, ok in ((200, True), (299, True), (300, False), (401, True), (503, False)):
            with self.subTest(status=status):
                self.verdicts.clear()
                verdict = self.judge(b"HTTP/1.1 %d Whatever\r\n" % status)
                self.assertEqual(verdict, Verdict(ok, f"answered with status {status}"))

    def test_an_answer_may_come_in_pieces(self) -> None:
        self.assertTrue(self.judge(*(bytes([c]) for c in b"HTTP/1.0 200\r\n")).ok)

    def test_passes_over_interim_answers(self) -> None:
        verdict = self.judge(
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n", b"\r\nHTTP/1.1 200 OK\r\n"
        )
        self.assertTrue(verdict.ok)

    def test_what_is_not_http_is_a_failure(self) -> None:
        for answer in (b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/2 200\r\n", b"x" * 2000, b"\n"):
            with self.subTest(answer=answer[:20]):
                self.verdicts.clear()
                verdict = self.judge(answer)
                self.assertEqual(verdict, Verdict(False, "its answer is not HTTP/1"))

    def test_closing_without_an_answer_is_a_failure(self) -> None:
        self.assertIsNone(self.judge(b"HTTP/1.1 2").ok)
        self.assertEqual(self.verdicts, [Verdict(False, "closed the connection without an answer")])

    def test_reads_no_more_than_its_limit(self) -> None:
        protocol, transport = self.connect(self.start(HTTP))
        protocol.dataReceived(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(MAX_ANSWER_BYTES // 1024):
            protocol.dataReceived(b"x" * 1024)
        self.assertTrue(transport.disconnected)
        self.close(protocol)
        self.assertEqual([verdict.ok for verdict in self.verdicts], [True])

    def test_interim_answers_without_end_are_a_failure(self) -> None:
        answer = b"HTTP/1.1 100 Continue\r\n\r\n"
        count = MAX_ANSWER_BYTES // len(answer) + 1
        for answers in ([answer] * count, [answer * count]):
            self.verdicts.clear()
            self.assertEqual(self.judge(*answers).ok, False)

    def test_no_answer_in_time_is_a_failure(self) -> None:
        protocol, transport = self.connect(self.start(HTTP))
        protocol.dataReceived(b"HTTP/1.1 ")
        self.reactor.advance(HTTP.timeout_s)
        self.assertEqual(self.verdicts, [Verdict(False, "no answer within 2 s")])
        self.assertTrue(transport.disconnected)
        self.close(protocol)
        self.assertEqual(len(self.verdicts), 1)

    def test_an_answer_without_end_is_cut_at_the_deadline(self) -> None:
        protocol, transport = self.connect(self.start(HTTP))
        protocol.dataReceived(b"HTTP/1.1 200 OK\r\n\r\nso far")
        self.reactor.advance(HTTP.timeout_s)
        self.assertEqual([verdict.ok for verdict in self.verdicts], [True])
        self.assertTrue(transport.disconnected)
        self.close(protocol)


class TcpTests(CheckTestCase):
    def test_a_connection_is_enough(self) -> None:
        protocol, transport = self.connect(self.start(TCP))
        self.assertEqual(self.verdicts, [Verdict(True, "connected")])
        self.assertTrue(transport.disconnecting)
        self.assertEqual(transport.value(), b"")
        self.close(protocol)

    def test_no_connection_is_a_failure_that_says_why(self) -> None:
        for error, verdict in (
            (ConnectionRefusedError(111, "refused"), Verdict(False, "no connection: ECONNREFUSED")),
            (DNSLookupError("x"), Verdict(False, "its name does not resolve")),
        ):
            self.verdicts.clear()
            self.start(TCP).clientConnectionFailed(None, Failure(error))  # type: ignore[arg-type]
            self.assertEqual(self.verdicts, [verdict])

    def test_our_own_lack_of_descriptors_is_no_verdict_on_a_backend(self) -> None:
        error = Failure(ConnectBindError(24, "Too many open files"))
        self.start(TCP).clientConnectionFailed(None, error)  # type: ignore[arg-type]
        self.assertIsNone(self.verdicts[0].ok)

    def test_a_connection_that_comes_too_late_is_not_used(self) -> None:
        check = self.start(TCP)
        self.reactor.advance(TCP.timeout_s)
        self.assertEqual([verdict.ok for verdict in self.verdicts], [False])
        self.assertIsNone(check.buildProtocol(None))

    def test_says_nothing_once_stopped(self) -> None:
        check = self.start(HTTP)
        protocol, transport = self.connect(check)
        check.stop()
        self.assertTrue(transport.disconnected)
        self.close(protocol)
        self.assertEqual(self.verdicts, [])


class Http2Tests(CheckTestCase):
    def ask(self, **fields: Any) -> tuple[Protocol, StringTransport, H2Connection]:
        check = Check(self.reactor, BACKEND, HTTP, self.verdicts.append, protocol="h2", **fields)
        protocol, transport = self.connect(check)
        backend = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        backend.initiate_connection()
        return protocol, transport, backend

    def test_judges_by_the_expected_statuses(self) -> None:
        for status, ok in ((200, True), (503, False)):
            with self.subTest(status=status):
                self.verdicts.clear()
                protocol, transport, backend = self.ask()
                found = backend.receive_data(transport.value())
                [request] = [each for each in found if isinstance(each, RequestReceived)]
                head = dict(request.headers)
                self.assertEqual((head[b":method"], head[b":path"]), (b"GET", b"/up?deep=1"))
                self.assertEqual(head[b":authority"], b"192.0.2.7:8000")
                backend.send_headers(1, [(":status", "103")])
                backend.send_headers(1, [(":status", str(status))], end_stream=True)
                for octet in backend.data_to_send():
                    protocol.dataReceived(bytes((octet,)))
                self.assertEqual(self.verdicts, [Verdict(ok, f"answered with status {status}")])
                self.assertTrue(transport.disconnecting)
                self.close(protocol)

    def test_what_is_no_answer_is_a_failure(self) -> None:
        for wire, why in (
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "its answer is not HTTP/2"),
            (HELLO + reset(1, Code.REFUSED_STREAM), "it cancelled the request"),
            (HELLO + b"\0\0\1\1\5\0\0\0\1\xff", "its answer is not HTTP/2"),
        ):
            with self.subTest(why=why):
                self.verdicts.clear()
                protocol, transport, _ = self.ask()
                protocol.dataReceived(wire)
                self.assertEqual(self.verdicts, [Verdict(False, why)])
                self.assertTrue(transport.disconnected)
                self.close(protocol)
