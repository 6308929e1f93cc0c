"""gRPC calls: what is theirs alone on the way through."""

from typing import Any

from tests.edge.test_http2_backends import BackendsTestCase
from tests.support.http2 import Answer, Http2Client
from veloflux.core.model.policies import RateLimit
from veloflux.core.model.traffic import Route, Share, Timeouts

CALL = [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "5S")]
MESSAGE = b"\0\0\0\0\3abc"


class CallsTestCase(BackendsTestCase):
    def make(self, **fields: Any) -> None:
        super().make(**fields)
        self.client = Http2Client(self.rig.client())

    def call(self, **fields: Any) -> int:
        return self.client.ask("/pkg.Service/Method", CALL, method="POST", **fields)

    def refused(self, answer: Answer, status: bytes) -> None:
        """In the form that is a head alone."""
        self.assertEqual((answer.status, answer.head[b"grpc-status"]), (200, status))
        self.assertEqual(answer.head[b"content-type"], b"application/grpc")
        self.assertIn(b"grpc-message", answer.head)
        self.assertIn(b"x-request-id", answer.head)
        self.assertEqual((answer.body, answer.trailers, answer.is_whole), (b"", {}, True))
        self.assertEqual(self.rig.inflight, 0)


class Calls(CallsTestCase):
    def test_one(self) -> None:
        number = self.call(body=MESSAGE)
        backend = self.backend()
        request = backend.request()
        self.assertEqual(request.body, MESSAGE)
        for name, value in CALL:
            self.assertEqual(request[name.encode()], value.encode())
        backend.answer(request.number, MESSAGE, CALL[:1], trailers=[("grpc-status", "0")])
        answer = self.client.answer(number)
        self.assertEqual((answer.body, answer.trailers), (MESSAGE, {b"grpc-status": b"0"}))
        self.assertTrue(answer.is_whole)

    def test_messages_may_be_far_apart(self) -> None:
        self.make(
            pool={"timeouts": Timeouts(idle_s=5.0, first_byte_s=5.0)},
            limits={"body_timeout_s": 5.0, "min_body_rate": 240},
        )
        number = self.call(ended=False)
        backend = self.backend()
        request = backend.request()
        for _ in range(3):
            self.rig.wait(20.0)
            self.client.send(number, MESSAGE)
        backend.flush()
        self.assertEqual(request.body, MESSAGE * 3)
        backend.answer(request.number, MESSAGE, CALL[:1], ended=False)
        for _ in range(3):
            self.rig.wait(20.0)
            backend.send(request.number, MESSAGE)
        self.assertEqual(self.client.answer(number).body, MESSAGE * 4)
        self.rig.wait(4000.0)
        self.assertEqual(self.client.answer(number).trailers[b"grpc-status"], b"14")

    def test_other_bodies_keep_a_pace(self) -> None:
        """L4"""
        self.make(limits={"body_timeout_s": 5.0})
        number = self.client.ask("/", [("content-type", "text/plain")], method="POST", ended=False)
        self.rig.wait(6.0)
        self.assertEqual(self.client.answer(number).status, 408)

    def test_what_is_called_so_and_goes_to_no_service_keeps_it_too(self) -> None:
        """L4"""
        self.make(limits={"body_timeout_s": 5.0}, pool={"protocol": "http1"})
        number = self.call(ended=False)
        self.rig.wait(6.0)
        self.assertEqual(self.client.answer(number).head[b"grpc-status"], b"2")


class Refusals(CallsTestCase):
    def test_nobody_serves_it(self) -> None:
        self.make(routes=(Route("a", path_prefix="/a", pools=(Share("app"),)),))
        self.refused(self.client.answer(self.call(body=MESSAGE)), b"12")

    def test_no_backend_can_be_reached(self) -> None:
        self.rig.backends[0].refuses = 111
        answer = self.client.answer(self.call(body=MESSAGE))
        self.refused(answer, b"14")
        self.assertIn(b"retry-after", answer.head)

    def test_the_backend_dies_before_it_answers(self) -> None:
        number = self.call(body=MESSAGE)
        self.backend().request()
        self.rig.backends[0].connections[0].reset()
        self.refused(self.client.answer(number), b"14")

    def test_the_backend_dies_amid_its_answer(self) -> None:
        number = self.call(body=MESSAGE)
        backend = self.backend()
        backend.answer(backend.request().number, MESSAGE, CALL[:1], ended=False)
        backend.end.reset()
        answer = self.client.answer(number)
        self.assertEqual((answer.body, answer.trailers[b"grpc-status"]), (MESSAGE, b"14"))
        self.assertIsNone(answer.reset)
        self.assertEqual(self.entry()["termination"], "SD")

    def test_it_dies_while_the_client_still_sends(self) -> None:
        number = self.call(ended=False)
        backend = self.backend()
        backend.answer(backend.request().number, MESSAGE, CALL[:1], ended=False)
        backend.end.reset()
        answer = self.client.answer(number)
        self.assertEqual(answer.trailers[b"grpc-status"], b"14")

    def test_no_answer_in_time(self) -> None:
        self.make(pool={"timeouts": Timeouts(first_byte_s=3.0)})
        number = self.call(body=MESSAGE)
        self.rig.wait(4.0)
        self.refused(self.client.answer(number), b"14")

    def test_too_many_calls(self) -> None:
        limit = RateLimit(0.1, 1)
        self.make(routes=(Route("all", pools=(Share("app"),), rate_limit=limit),))
        self.call(body=MESSAGE)
        answer = self.client.answer(self.call(body=MESSAGE))
        self.assertEqual(answer.head[b"grpc-status"], b"14")
        self.assertIn(b"retry-after", answer.head)

    def test_a_message_that_is_too_large(self) -> None:
        self.make(limits={"max_body_bytes": 10})
        number = self.call(ended=False)
        self.client.send(number, b"x" * 11)
        answer = self.client.answer(number)
        self.assertEqual(answer.head[b"grpc-status"], b"8")

    def test_a_call_cancelled_by_its_client_is_cancelled_there(self) -> None:
        number = self.call(ended=False)
        backend = self.backend()
        request = backend.request()
        self.client.cancel(number)
        backend.flush()
        self.assertEqual(request.reset, 8)
