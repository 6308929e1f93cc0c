from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import get
from veloflux.core.model.traffic import Limits
from veloflux.core.wire import grpc
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.http1 import RequestHead, read_request


def head(kind: bytes) -> RequestHead:
    found = read_request(get(lines=b"Content-Type: %b\r\n" % kind), Limits(), None)
    assert found is not None
    return found


class Calls(SynchronousTestCase):
    def test_are_known_by_their_type(self) -> None:
        for kind in (b"application/grpc", b"application/grpc+proto", b"application/grpc;x=y"):
            self.assertTrue(grpc.is_call(head(kind)), kind)
        for kind in (b"application/grpc-web", b"text/plain", b"x/application/grpc", b""):
            self.assertFalse(grpc.is_call(head(kind)), kind)

    def test_statuses_are_mapped(self) -> None:
        for status, expected in (
            (400, 13), (401, 16), (403, 7), (404, 12), (405, 2), (408, 2), (413, 8), (429, 14),
            (431, 8), (500, 2), (502, 14), (503, 14), (504, 14),
        ):  # fmt: skip
            said = grpc.refusal(ProtocolError(status, "x", "Why not."), b"now")
            self.assertEqual(said.status_line, b"200 OK")
            self.assertIn(b"grpc-status: %d\r\n" % expected, said.lines)

    def test_a_message_is_one_visible_line(self) -> None:
        said = grpc.refusal(ProtocolError(500, "x", "100 %\r\nevil: é~"), b"now")
        self.assertIn(b"grpc-message: 100 %25%0D%0Aevil: %C3%A9~\r\n", said.lines)

    def test_what_a_refusal_says_besides_is_kept(self) -> None:
        said = grpc.refusal(ProtocolError(503, "x", "y", b"Retry-After: 1\r\n"), b"now")
        self.assertIn(b"\r\nRetry-After: 1\r\n", said.lines)
