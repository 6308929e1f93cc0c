"""A connection that begins like the one before is answered like it, and by nothing that was true
for somebody else or before a change."""

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import LISTENING, OK, Rig, get
from veloflux.core.model.traffic import Limits, Listener, Route, Share
from veloflux.edge.reception import MOST_PEERS

ONE, OTHER = "198.51.100.7", "198.51.100.8"
PEERS = (ONE, OTHER)
HEADS = (
    get(),
    get(lines=b"Connection: close\r\n"),
    get(b"/x?y=z", lines=b"Cookie: a=b\r\n"),
    get(host=b"example.com"),
    b"GET http://example.net/ HTTP/1.1\r\nHost: example.org\r\n\r\n",
    b"OPTIONS / HTTP/1.1\r\nHost: example.org\r\nMax-Forwards: 3\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
)
ID = re.compile(rb"X-Request-ID: [0-9a-f]+")


def passed_on(rig: Rig, peer: str, heads: tuple[bytes, ...]) -> list[bytes]:
    """What the backend gets of requests on one new connection, less their ids."""
    client = rig.client(peer)
    got = []
    for head in heads:
        before = len(rig.backend.received)
        client.send(head)
        got.append(ID.sub(b"", rig.backend.received[before:]))
        rig.backend.answer(OK)
    client.close()
    return got


class NextConnections(SynchronousTestCase):
    @given(
        st.lists(st.tuples(st.sampled_from(PEERS), st.lists(st.sampled_from(HEADS), max_size=3)))
    )
    def test_send_what_the_first_would(self, visits: list[tuple[str, list[bytes]]]) -> None:
        rig = Rig(self)
        for peer, heads in visits:
            # Nobody asks after the end.
            last = next(
                (n for n, head in enumerate(heads) if b"close" in head or b"1.0" in head), 3
            )
            asked = tuple(heads[: last + 1])
            alone = [passed_on(Rig(self), peer, (head,))[0] for head in asked]
            self.assertEqual(passed_on(rig, peer, asked), alone)

    def test_keep_to_limits_that_are_new(self) -> None:
        rig = Rig(self)
        head = get(lines=b"A: b\r\n")
        old = rig.client()
        passed_on(rig, ONE, (head,))
        rig.change(listeners=(Listener("web", LISTENING, limits=Limits(max_headers=1)),))
        # Who came before may go on, and tells nobody who comes later.
        old.send(head)
        rig.backend.answer(OK)
        self.assertEqual(old.answer().status, 200)
        client = rig.client()
        client.send(head)
        self.assertEqual(client.answer().status, 431)

    def test_go_by_routes_that_are_new(self) -> None:
        rig = Rig(self)
        passed_on(rig, ONE, (get(b"/x"),))
        share = (Share("app"),)
        rig.change(routes=(Route("x", path_prefix="/x", strip_prefix="/x", pools=share),))
        (got,) = passed_on(rig, ONE, (get(b"/x"),))
        self.assertEqual(got.partition(b" HTTP")[0], b"GET /")
        rig.change(routes=(Route("y", path_prefix="/y", pools=share),))
        client = rig.client(ONE)
        client.send(get(b"/x"))
        self.assertEqual(client.answer().status, 404)

    def test_believe_who_is_trusted_by_now(self) -> None:
        rig = Rig(self)
        head = get(lines=b"X-Forwarded-For: 192.0.2.1\r\n")
        (got,) = passed_on(rig, ONE, (head,))
        self.assertIn(b"X-Forwarded-For: 198.51.100.7\r\n", got)
        (web,) = rig.snapshot.listeners
        rig.change(listeners=(replace(web, trusted_proxies=(ONE,)),))
        for _ in range(2):
            (got,) = passed_on(rig, ONE, (head,))
            self.assertIn(b"X-Forwarded-For: 192.0.2.1, 198.51.100.7\r\n", got)
        rig.change(listeners=(web,))
        (got,) = passed_on(rig, ONE, (head,))
        self.assertIn(b"X-Forwarded-For: 198.51.100.7\r\n", got)

    def test_of_many_peers_leave_little(self) -> None:
        rig = Rig(self)
        for number in range(2 * MOST_PEERS):
            passed_on(rig, f"198.51.{number}.1", (get(),))
        (listener,) = rig.service._listeners.values()
        self.assertEqual(len(listener._book), MOST_PEERS)
