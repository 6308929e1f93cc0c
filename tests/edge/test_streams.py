"""Properties of whole connections: whatever a client sends, in whatever pieces."""

from typing import NamedTuple

from httptools import HttpParserInvalidMethodError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support import messages, oracles
from tests.support.edge import OK, Rig
from veloflux.core.flow.exchange import KNOWN_METHODS

# Each example is a connection or two.
QUICK = settings(max_examples=60, suppress_health_check=list(HealthCheck))


class Seen(NamedTuple):
    """What a stream led to."""

    forwarded: list[oracles.Request]
    is_whole: bool
    statuses: list[int]
    ending: str | None


class Streams(SynchronousTestCase):
    def see(self, pieces: list[bytes]) -> Seen:
        """Send the pieces, with a backend that answers each whole request."""
        rig = Rig(self)
        client = rig.client()
        answered = 0
        for piece in [*pieces, b""]:
            client.send(piece)
            while (whole := self.whole(rig)) and len(whole) > answered:
                answered += 1
                connection = [each for each in rig.backend.connections if not each.ending][-1]
                connection.send(OK)
        forwarded, unfinished = [], 0
        for connection in rig.backend.connections:
            found, is_whole = oracles.read_whole(connection.received)
            unfinished += not is_whole
            forwarded += [self.plain(request) for request in found]
            if is_whole:
                self.check_by_llhttp(connection.received, found)
        methods = [request.method for request in forwarded]
        answers = client.answers(*(methods + [b"GET"] * 20))
        statuses = [answer.status if answer.status < 400 else 400 for answer in answers]
        self.check(rig, client.news, answers, client.ending)
        rig.service.close()
        return Seen(forwarded, not unfinished, statuses, client.ending)

    def check_by_llhttp(self, wire: bytes, found: list[oracles.Request]) -> None:
        try:
            self.assertEqual(oracles.read_by_llhttp(wire), found)
        except HttpParserInvalidMethodError:
            # It knows the registered methods only; to h11 and to us any token is one.
            self.assertFalse({request.method for request in found} <= KNOWN_METHODS)

    def whole(self, rig: Rig) -> list[oracles.Request]:
        found = []
        for connection in rig.backend.connections:
            found += oracles.read_whole(connection.received)[0]
        return found

    def plain(self, request: oracles.Request) -> oracles.Request:
        """Without what is new each time."""
        fields = [field for field in request.fields if field[0] != b"x-request-id"]
        return request._replace(fields=fields)

    def check(
        self, rig: Rig, after: bytes, answers: list[oracles.Response], ending: str | None
    ) -> None:
        """(a) one response a request, in order; nothing after one that closes."""
        self.assertEqual(after, b"")
        for answer in answers[:-1]:
            self.assertIsNone(answer.field(b"connection"))
        closes = bool(answers) and answers[-1].field(b"connection") == b"close"
        self.assertEqual(closes, ending is not None)

    @QUICK
    @given(st.lists(messages.simple_requests(), min_size=1, max_size=4), messages.CUTS)
    def test_good_requests_arrive_whole_in_any_split(
        self, requests: list[bytes], cuts: list[int]
    ) -> None:
        wire = b"".join(requests)
        seen = self.see(messages.pieces(wire, cuts))
        self.assertTrue(seen.is_whole)
        self.assertEqual(len(seen.forwarded), len(requests))
        self.assertEqual(seen.statuses, [200] * len(requests))
        for request, sent in zip(seen.forwarded, oracles.read_by_h11(wire), strict=True):
            self.assertEqual((request.method, request.body), (sent.method, sent.body))
            self.assertEqual(request.trailers, sent.trailers)
            for name, value in sent.fields:
                if name in (b"x", b"x-long-name", b"accept", b"user-agent", b"cookie", b"!#$%"):
                    self.assertIn((name, value), request.fields)

    @QUICK
    @given(messages.STREAMS, messages.CUTS)
    def test_any_stream_means_the_same_in_any_split(self, wire: bytes, cuts: list[int]) -> None:
        """And is whole requests, and perhaps one error and the end."""
        whole, split = self.see([wire]), self.see(messages.pieces(wire, cuts))
        self.assertEqual(split.forwarded, whole.forwarded)
        self.assertEqual(split.statuses, whole.statuses)
        self.assertEqual(split.is_whole, whole.is_whole)
        self.assertEqual(split.ending is None, whole.ending is None)
