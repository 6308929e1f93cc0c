"""What a route does to the requests that it takes, and to their answers."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import OK, Rig, get, ok, variant
from tests.support.oracles import Request, Response
from veloflux.core.model.traffic import HeaderEdits, Redirect, Route, Share

POOLS = (Share("app"),)
HANDSHAKE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


class Routes(SynchronousTestCase):
    """One route for everything, with the fields given."""

    def rig(self, **fields: Any) -> Rig:
        return Rig(self, routes=(Route("r", pools=POOLS, **fields),))

    def forwarded(self, rig: Rig, wire: bytes) -> Request:
        client = rig.client()
        client.send(wire)
        request = rig.backend.request()
        rig.backend.answer(OK)
        client.answer()
        return request

    def answered(self, rig: Rig, wire: bytes) -> Response:
        client = rig.client()
        client.send(get())
        rig.backend.answer(wire)
        return client.answer()


class Requests(Routes):
    def test_the_prefix_is_taken_off(self) -> None:
        for prefix in ("/api", "/api/"):
            rig = self.rig(path_prefix=prefix, strip_prefix=True)
            for path, target in (
                (b"/api", b"/"),
                (b"/api/", b"/"),
                (b"/api?x=/api", b"/?x=/api"),
                (b"/api/api/x", b"/api/x"),
                (b"/api/%2e/x", b"/x"),
                (b"//api//x", b"/x"),
                (b"/x/../api/y", b"/y"),
            ):
                with variant(path.decode()):
                    self.assertEqual(self.forwarded(rig, get(path)).target, target)

    def test_the_prefix_is_whole_segments(self) -> None:
        """S22"""
        rig = self.rig(path_prefix="/api", strip_prefix=True)
        for path in (b"/apix", b"/api;x", b"/API", b"/api%252f", b"/", b"/x/api", b"*"):
            client = rig.client()
            method = b"OPTIONS" if path == b"*" else b"GET"
            client.send(method + b" " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            with variant(path.decode()):
                self.assertEqual(client.answer(method).status, 404)
        self.assertEqual(rig.backend.attempts, 0)

    def test_the_root_has_no_prefix_to_take_off(self) -> None:
        rig = self.rig(strip_prefix=True)
        self.assertEqual(self.forwarded(rig, get(b"/x")).target, b"/x")

    def test_the_client_s_host_goes_on(self) -> None:
        request = self.forwarded(self.rig(), get(host=b"a.example:8080"))
        self.assertEqual(request.field(b"host"), b"a.example:8080")

    def test_the_backend_s_host_instead(self) -> None:
        request = self.forwarded(self.rig(preserve_host=False), get(host=b"a.example:8080"))
        self.assertEqual(request.field(b"host"), b"10.0.0.1:80")
        self.assertEqual(request.field(b"x-forwarded-host"), b"a.example:8080")

    def test_headers_are_edited(self) -> None:
        edits = HeaderEdits(
            set=(("X-Set", "ours"), ("Authorization", "Basic eA==")),
            add=(("X-Add", "ours"),),
            remove=("X-Gone", "Cookie"),
        )
        request = self.forwarded(
            self.rig(request_headers=edits),
            get(
                lines=b"x-set: theirs\r\nX-SET: theirs\r\nX-Add: theirs\r\nx-gone: 1\r\n"
                b"Cookie: a=b\r\nX-Gone-Not: 1\r\nauthorization: Bearer x\r\n"
            ),
        )
        self.assertEqual(request.field(b"x-set"), b"ours")
        self.assertEqual(request.field(b"authorization"), b"Basic eA==")
        added = [value for name, value in request.fields if name == b"x-add"]
        self.assertEqual(added, [b"theirs", b"ours"])
        names = [name for name, _ in request.fields]
        self.assertNotIn(b"x-gone", names)
        self.assertNotIn(b"cookie", names)
        self.assertIn(b"x-gone-not", names)

    def test_edits_are_made_anew_for_each_request(self) -> None:
        rig = self.rig(request_headers=HeaderEdits(add=(("X-Add", "1"),)))
        client = rig.client()
        for _ in range(3):
            client.send(get())
            self.assertEqual(rig.backend.request().field(b"x-add"), b"1")
            rig.backend.answer(OK)

    def test_a_body_s_framing_outlives_edits(self) -> None:
        """S17"""
        edits = HeaderEdits(remove=("X",), set=(("Y", "z"),))
        request = self.forwarded(
            self.rig(request_headers=edits),
            b"POST / HTTP/1.1\r\nHost: a\r\nX: y\r\nContent-Length: 5\r\n\r\nhello",
        )
        self.assertEqual((request.body, request.field(b"y")), (b"hello", b"z"))

    def test_a_larger_body_is_allowed(self) -> None:
        """L2"""
        for limit, status in ((4, 413), (5, 200), (0, 200), (None, 413)):
            rig = Rig(
                self,
                limits={"max_body_bytes": 3},
                routes=(Route("r", pools=POOLS, max_body_bytes=limit),),
            )
            client = rig.client()
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
            if status == 200:
                rig.backend.answer(OK)
            self.assertEqual(client.answer().status, status, limit)

    def test_no_websocket_where_none_is_allowed(self) -> None:
        """S18"""
        request = self.forwarded(self.rig(websocket=False), get(lines=HANDSHAKE))
        self.assertIsNone(request.field(b"upgrade"))
        self.assertIsNone(request.field(b"connection"))

    def test_nowhere_to_go(self) -> None:
        rig = Rig(self, routes=(Route("r", pools=(Share("app", 0),)),))
        client = rig.client()
        client.send(get())
        answer = client.answer()
        self.assertEqual((answer.status, answer.field(b"retry-after")), (503, b"1"))
        self.assertIsNone(client.ending)

    def test_no_route(self) -> None:
        rig = Rig(self, routes=(Route("r", host="a.example", pools=POOLS),))
        client = rig.client()
        client.send(get())
        answer = client.answer()
        self.assertEqual(answer.status, 404)
        self.assertEqual(json.loads(answer.body)["title"], "Not Found")
        self.assertIsNone(client.ending)
        self.assertEqual(rig.count("veloflux_http_requests_total", "", "4xx", "GET"), 1)
        entry = rig.entry()
        self.assertEqual((entry["route"], entry["error"]), ("", "route"))

    def test_the_most_specific_takes_it(self) -> None:
        routes = (
            Route("any", pools=POOLS),
            Route("host", host="example.org", pools=POOLS),
            Route("path", host="example.org", path_prefix="/api", pools=POOLS),
            Route("beta", path_prefix="/", headers=(("X-Beta", "1"),), host="b", pools=POOLS),
        )
        rig = Rig(self, routes=routes)
        for wire in (
            get(host=b"other"),
            get(),
            get(b"/api/x"),
            get(b"/x/../api"),
            get(host=b"b", lines=b"x-beta: 1\r\n"),
            get(host=b"b"),
        ):
            self.forwarded(rig, wire)
        taken = [entry["route"] for entry in rig.entries(6)]
        self.assertEqual(taken, ["any", "host", "path", "path", "beta", "any"])


class Answers(Routes):
    def test_headers_are_edited(self) -> None:
        edits = HeaderEdits(
            set=(("Cache-Control", "no-store"),), add=(("X-Add", "1"),), remove=("Server",)
        )
        answer = self.answered(
            self.rig(response_headers=edits),
            ok(b"ok", b"server: x\r\ncache-control: public\r\nServer-Timing: y\r\n"),
        )
        names = [name for name, _ in answer.fields]
        self.assertEqual(answer.field(b"cache-control"), b"no-store")
        self.assertEqual(answer.field(b"x-add"), b"1")
        self.assertNotIn(b"server", names)
        self.assertIn(b"server-timing", names)
        self.assertEqual(answer.body, b"ok")

    def test_browsers_are_told_to_be_careful(self) -> None:
        answer = self.answered(self.rig(security_headers=True), OK)
        self.assertEqual(answer.field(b"x-content-type-options"), b"nosniff")
        self.assertEqual(answer.field(b"x-frame-options"), b"DENY")
        self.assertEqual(answer.field(b"referrer-policy"), b"strict-origin-when-cross-origin")

    def test_the_backend_s_word_on_it_stands(self) -> None:
        answer = self.answered(
            self.rig(security_headers=True), ok(b"", b"x-frame-options: SAMEORIGIN\r\n")
        )
        self.assertEqual(answer.field(b"x-frame-options"), b"SAMEORIGIN")
        self.assertEqual(answer.field(b"x-content-type-options"), b"nosniff")

    def test_nothing_is_added_unasked(self) -> None:
        answer = self.answered(self.rig(), OK)
        names = {name for name, _ in answer.fields}
        self.assertEqual(names, {b"via", b"date", b"content-length", b"x-request-id"})


class Redirects(SynchronousTestCase):
    def rig(self, to: str, status: int = 308) -> Rig:
        return Rig(self, routes=(Route("r", redirect=Redirect(to, status)),))

    def location(self, to: str, wire: bytes) -> bytes | None:
        client = self.rig(to).client()
        client.send(wire)
        return client.answer(wire.partition(b" ")[0]).field(b"location")

    def test_the_way_is_kept(self) -> None:
        for to, path, location in (
            ("https://new.example/", b"/", b"https://new.example/"),
            ("https://new.example/", b"/a/b?c=d", b"https://new.example/a/b?c=d"),
            ("https://new.example/x/", b"/a", b"https://new.example/x/a"),
            ("https://new.example/x", b"/a?b", b"https://new.example/x"),
            ("/moved/", b"/a", b"/moved/a"),
        ):
            self.assertEqual(self.location(to, get(path)), location)

    def test_nobody_can_choose_another_way(self) -> None:
        """S26: open redirects and header injection"""
        for path, location in (
            (b"//evil.example/x", b"https://new.example/evil.example/x"),
            (b"/%0d%0aSet-Cookie:a=b", b"https://new.example/%0D%0ASet-Cookie:a=b"),
            (b"/?x=%0d%0aSet-Cookie:a=b", b"https://new.example/?x=%0d%0aSet-Cookie:a=b"),
            (b"/@evil.example", b"https://new.example/@evil.example"),
            (b"http://evil.example/x", b"https://new.example/x"),
            (b"/a/../../b", None),
        ):
            with variant(path.decode()):
                self.assertEqual(self.location("https://new.example/", get(path)), location)
        self.assertEqual(self.location("/", get(b"//evil.example")), b"/evil.example")

    def test_the_whole_server_has_no_path(self) -> None:
        wire = b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"
        self.assertEqual(self.location("https://new.example/", wire), b"https://new.example/")

    def test_each_status(self) -> None:
        for status in (301, 302, 303, 307, 308):
            rig = self.rig("https://new.example/", status)
            client = rig.client()
            client.send(get())
            answer = client.answer()
            self.assertEqual((answer.status, answer.body), (status, b""))
            self.assertIsNone(client.ending)
            entry = rig.entry()
            self.assertEqual((entry["status"], entry["termination"]), (status, "LR"))
            self.assertEqual(rig.count("veloflux_protocol_errors_total"), 0)

    def test_a_body_is_not_waited_for(self) -> None:
        """S15"""
        client = self.rig("https://new.example/").client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n" + get())
        self.assertEqual(client.answer().field(b"connection"), b"close")
        self.assertEqual(client.ending, "finished")
        self.assertEqual(client.news, b"")
