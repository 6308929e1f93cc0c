"""gRPC through the daemon, with grpcio as client and as server."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import grpc

from tests.support.authority import authority
from tests.support.case import settings, text
from tests.support.daemon import PATIENCE_S, Daemon, wait_for
from tests.support.rpc import Rpc, Stub
from tests.system.test_tls import TlsSystemTestCase

BIG = bytes(range(256)) * (40 * 4096)


class GrpcTestCase(TlsSystemTestCase):
    def rpc(self, **fields: Any) -> Rpc:
        rpc = Rpc(**fields)
        self.addCleanup(rpc.close)
        return rpc

    def serve(self, *addresses: str, **changes: Any) -> Daemon:
        listener = {"h2c": True, **changes.pop("listener", {})}
        pool = {"protocol": "h2", **changes.pop("pool", {})}
        return self.daemon(settings(*addresses, listener=listener, pool=pool, **changes))

    def stub(self, daemon: Daemon, credentials: Any = None) -> Stub:
        host = "127.0.0.1" if credentials is None else "localhost"
        stub = Stub(f"{host}:{daemon.port()}", credentials)
        self.addCleanup(stub.close)
        return stub

    def fails(self, call: Any) -> Any:
        """The error of a call that must fail."""
        try:
            found = call()
        except grpc.RpcError as error:
            return error
        raise AssertionError(f"it went well: {found[:100]!r}")


class Calls(GrpcTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server = self.rpc()
        self.daemon_ = self.serve(self.server.address, limits={"max_body_bytes": 0})
        self.client = self.stub(self.daemon_)

    def test_unary(self) -> None:
        answer, call = self.client.unary.with_call(
            b"hello", timeout=PATIENCE_S, metadata=(("x-say", "this"),)
        )
        self.assertEqual(answer, b"hello")
        self.assertEqual(dict(call.trailing_metadata())["x-said"], "this")
        wait_for("the log", lambda: self.daemon_.access_log.count("\n") == 1)
        entry = json.loads(self.daemon_.access_log)
        self.assertEqual((entry["status"], entry["termination"]), (200, "--"))

    def test_streams_of_every_kind(self) -> None:
        messages = [b"%d" % n * 100 for n in range(200)]
        size = sum(map(len, messages))
        self.assertEqual(int(self.client.count(iter(messages), timeout=PATIENCE_S)), size)
        self.assertEqual(len(list(self.client.repeat(b"1000", timeout=PATIENCE_S))), 1000)
        self.assertEqual(list(self.client.chat(iter(messages), timeout=PATIENCE_S)), messages)

    def test_messages_go_one_by_one_both_ways(self) -> None:
        turn = threading.Semaphore(0)

        def questions() -> Iterator[bytes]:
            for n in range(20):
                yield b"%d" % n
                turn.acquire(timeout=PATIENCE_S)

        answers = self.client.chat(questions(), timeout=PATIENCE_S)
        for n in range(20):
            self.assertEqual(next(answers), b"%d" % n)
            turn.release()
        self.assertEqual(list(answers), [])

    def test_big_messages(self) -> None:
        self.assertTrue(self.client.unary(BIG, timeout=PATIENCE_S) == BIG)
        self.assertTrue(list(self.client.chat(iter([BIG, BIG]), timeout=PATIENCE_S)) == [BIG, BIG])

    def test_a_status_of_the_service(self) -> None:
        error = self.fails(lambda: self.client.fail(b"", timeout=PATIENCE_S))
        self.assertEqual(error.code(), grpc.StatusCode.NOT_FOUND)
        self.assertEqual(error.details(), "nothing there: 100 %")
        error = self.fails(lambda: self.client.refuse(b"", timeout=PATIENCE_S))
        self.assertEqual((error.code(), error.details()), (grpc.StatusCode.UNAVAILABLE, "later"))

    def test_a_method_that_nobody_has(self) -> None:
        unknown = self.client.channel.unary_unary("/tests.Echo/Nothing")
        error = self.fails(lambda: unknown(b"", timeout=PATIENCE_S))
        self.assertEqual(error.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_the_deadline_is_passed_on(self) -> None:
        self.assertLess(float(self.client.deadline(b"", timeout=20)), 20.0)
        error = self.fails(lambda: self.client.held(b"", timeout=0.3))
        self.assertEqual(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)

    def test_a_cancelled_call_is_cancelled_at_the_service(self) -> None:
        call = self.client.watch(b"", timeout=PATIENCE_S)
        self.assertEqual(next(call), b"begun")
        call.cancel()
        self.assertTrue(self.server.cancelled.acquire(timeout=PATIENCE_S))

    def test_a_thousand_at_once(self) -> None:
        calls = [self.client.unary.future(b"%d" % n, timeout=PATIENCE_S) for n in range(1000)]
        self.assertEqual([call.result() for call in calls], [b"%d" % n for n in range(1000)])
        chats = [
            self.client.chat(iter([b"%d" % n, b"again"]), timeout=PATIENCE_S) for n in range(50)
        ]
        for n, chat in enumerate(chats):
            self.assertEqual(list(chat), [b"%d" % n, b"again"])


class Failures(GrpcTestCase):
    def test_a_backend_that_is_not_there(self) -> None:
        server = self.rpc()
        daemon = self.serve(server.address)
        client = self.stub(daemon)
        server.close()
        error = self.fails(lambda: client.unary(b"", timeout=PATIENCE_S))
        self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertIn("backend", error.details())

    def test_a_backend_that_dies_amid_a_stream(self) -> None:
        server = self.rpc()
        client = self.stub(self.serve(server.address))
        call = client.watch(b"", timeout=PATIENCE_S)
        self.assertEqual(next(call), b"begun")
        server.leave(0)
        error = self.fails(lambda: list(call))
        # grpcio's own status at its end, or ours for a connection that broke.
        self.assertIn(error.code(), (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE))

    def test_what_no_route_takes(self) -> None:
        server = self.rpc()
        client = self.stub(self.serve(server.address, route={"path_prefix": "/elsewhere"}))
        error = self.fails(lambda: client.unary(b"", timeout=PATIENCE_S))
        self.assertEqual(error.code(), grpc.StatusCode.UNIMPLEMENTED)
        self.assertEqual(error.details(), "No route leads there.")

    def test_a_rolling_restart_is_not_noticed(self) -> None:
        """GOAWAY: what is under way ends well, and what comes goes elsewhere."""
        first, second = self.rpc(), self.rpc()
        client = self.stub(self.serve(first.address, second.address))
        held = [client.held.future(b"%d" % n, timeout=PATIENCE_S) for n in range(4)]
        for _ in held:
            while not (first.arrived.acquire(timeout=0.05) or second.arrived.acquire(timeout=0.05)):
                pass
        end = first.leave(PATIENCE_S)
        for n in range(50):
            self.assertEqual(client.unary(b"%d" % n, timeout=PATIENCE_S), b"%d" % n)
        first.release.set()
        second.release.set()
        self.assertEqual([call.result() for call in held], [b"0", b"1", b"2", b"3"])
        self.assertTrue(end.wait(PATIENCE_S))

    def test_health_is_asked_by_http2(self) -> None:
        server = self.rpc()
        check = {"interval": "100ms", "timeout": "50ms", "path": "/x"}
        # grpcio refuses what is no call, with an answer.
        daemon = self.serve(
            server.address, pool={"protocol": "h2", "health_check": {**check, "fall": 1}}
        )
        client = self.stub(daemon)
        self.assertEqual(client.unary(b"a", timeout=PATIENCE_S), b"a")
        server.close()
        daemon.wait_for_log("is unhealthy")


class OverTls(GrpcTestCase):
    def test_both_sides(self) -> None:
        pair = authority().issue("localhost")
        server = self.rpc(pair=(pair.key_pem, pair.pem))
        configuration = settings(server.address, listener=self.tls(), pool={"protocol": "h2"})
        configuration["pools"][0]["backends"][0]["tls"] = {
            "server_name": "localhost",
            "ca": str(self.ca),
        }
        daemon = self.daemon(configuration)
        client = self.stub(daemon, grpc.ssl_channel_credentials(authority().pem))
        self.assertEqual(client.unary(b"hello", timeout=PATIENCE_S), b"hello")
        self.assertEqual(list(client.chat(iter([b"a", b"b"]), timeout=PATIENCE_S)), [b"a", b"b"])
        daemon.reload(text(configuration | {"workers": 1}))
        self.assertEqual(client.unary(b"hello", timeout=PATIENCE_S), b"hello")
