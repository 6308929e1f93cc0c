"""W3C Trace Context: traces that come from trusted proxies, and those that begin here."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import GET, OK, Rig, get
from veloflux.core.model.resilience import Retries
from veloflux.core.wire.trace import trace_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
SAID = f"00-{TRACE}-b7ad6b7169203331-01"
LINES = f"traceparent: {SAID}\r\ntracestate: a=b\r\n".encode()
TRUSTED = {"trusted_proxies": ("198.51.100.0/24",)}


class TraceTests(SynchronousTestCase):
    def rig(self, *, tracing: bool = True, **more: Any) -> Rig:
        rig = Rig(self, **more)
        rig.change(tracing=tracing)
        return rig

    def trace(self, rig: Rig) -> str:
        """What the backend is told."""
        return trace_of([rig.backend.request().field(b"traceparent") or b""])

    def test_none_begins_unasked(self) -> None:
        rig = self.rig(tracing=False)
        rig.client().send(GET)
        self.assertIsNone(rig.backend.request().field(b"traceparent"))
        rig.backend.answer(OK)
        self.assertEqual(rig.entry()["trace_id"], "")

    def test_each_request_begins_its_own(self) -> None:
        rig = self.rig()
        client = rig.client()
        traces = []
        for _ in range(3):
            client.send(GET)
            traces.append(self.trace(rig))
            rig.backend.answer(OK)
        self.assertEqual(len(set(traces) - {""}), 3)
        self.assertEqual([entry["trace_id"] for entry in rig.entries(3)], traces)

    def test_a_trusted_proxys_goes_on(self) -> None:
        """It is passed on as it came: nothing of ours is recorded that could be its parent."""
        rig = self.rig(listener=TRUSTED)
        rig.client().send(get(lines=LINES))
        request = rig.backend.request()
        self.assertEqual(request.field(b"traceparent"), SAID.encode())
        self.assertEqual(request.field(b"tracestate"), b"a=b")
        rig.backend.answer(OK)
        self.assertEqual(rig.entry()["trace_id"], TRACE)

    def test_a_clients_own_is_not_believed(self) -> None:
        """S27"""
        rig = self.rig()
        rig.client().send(get(lines=LINES))
        request = rig.backend.request()
        self.assertNotIn(trace_of([request.field(b"traceparent") or b""]), ("", TRACE))
        self.assertIsNone(request.field(b"tracestate"))

    def test_one_that_is_none_is_replaced(self) -> None:
        """W3C Trace Context, section 4.3: tracestate goes with it."""
        for lines in (LINES.replace(b"00-", b"ff-"), LINES + LINES):
            rig = self.rig(listener=TRUSTED)
            rig.client().send(get(lines=lines))
            request = rig.backend.request()
            self.assertNotIn(trace_of([request.field(b"traceparent") or b""]), ("", TRACE))
            self.assertIsNone(request.field(b"tracestate"))

    def test_all_attempts_belong_to_one(self) -> None:
        rig = self.rig(pool={"retries": Retries(attempts=1)})
        client = rig.client()
        client.send(GET)
        first = self.trace(rig)
        rig.backend.answer(OK)
        client.send(GET)
        second = self.trace(rig)
        rig.backend.connection.close()
        self.assertEqual(self.trace(rig), second)
        self.assertNotEqual(first, second)
