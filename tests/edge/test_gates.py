"""What a route asks of a request before a backend sees it."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import OK, POST, UPLOAD, Rig, get, ok, variant
from tests.support.oracles import Response
from veloflux.core.model.policies import Cors, RateLimit
from veloflux.core.model.traffic import HeaderEdits, Redirect, Route, Share

POOLS = (Share("app"),)
HERE = b"https://app.example"
FROM_HERE = b"Origin: " + HERE + b"\r\n"
OURS = Cors((HERE.decode(),), methods=("GET", "PUT"), headers=("X-A",), credentials=True)
DECISIONS = "veloflux_ratelimit_decisions_total"


def options(lines: bytes = b"", method: bytes = b"PUT") -> bytes:
    asked = b"Access-Control-Request-Method: " + method + b"\r\n"
    return b"OPTIONS /x HTTP/1.1\r\nHost: a.example\r\n" + asked + lines + b"\r\n"


def values(answer: Response, name: bytes) -> list[bytes]:
    return [value for each, value in answer.fields if each.lower() == name]


class Gates(SynchronousTestCase):
    def rig(self, **fields: Any) -> Rig:
        """One route for everything, with the fields given."""
        return Rig(self, routes=(Route("r", pools=POOLS, **fields),))

    def ask(self, rig: Rig, wire: bytes = get(), client: Any = None, answer: bytes = OK) -> int:
        return self.answer(rig, wire, client, answer).status

    def answer(
        self,
        rig: Rig,
        wire: bytes = get(),
        client: Any = None,
        answer: bytes = OK,
    ) -> Response:
        """The answer to a request, by the backend if it sees it; `client` is one, or an address."""
        if client is None or isinstance(client, str):
            client = rig.client(*([client] if client else []))
        seen = [len(each.requests()) for each in rig.backend.connections]
        client.send(wire)
        for number, connection in enumerate(rig.backend.connections):
            before = seen[number] if number < len(seen) else 0
            if connection.ending is None and len(connection.requests()) > before:
                connection.send(answer)
        return client.answer(wire.partition(b" ")[0])


class Access(Gates):
    def test_who_is_denied_gets_no_further(self) -> None:
        rig = self.rig(deny=("198.51.100.0/24",), rate_limit=RateLimit(1, 1), cors=OURS)
        answer = self.answer(rig)
        self.assertEqual(answer.status, 403)
        problem = json.loads(answer.body)
        self.assertEqual(problem["instance"].encode(), answer.field(b"x-request-id"))
        self.assertNotIn("198.51.100", problem["detail"])
        self.assertEqual(self.ask(rig, options(FROM_HERE)), 403)
        self.assertEqual(self.ask(rig, client="203.0.113.1"), 200)
        self.assertEqual(rig.count(DECISIONS), 1)
        denied = [entry for entry in rig.entries(3) if entry["status"] == 403]
        self.assertEqual([entry["error"] for entry in denied], ["address"] * 2)
        for field in ("ratelimit", "pool", "backend", "pick_reason"):
            self.assertEqual({entry[field] for entry in denied}, {""}, field)

    def test_it_is_no_protocol_error_and_the_connection_is_kept(self) -> None:
        rig = self.rig(allow=("203.0.113.0/24",))
        client = rig.client()
        for _ in range(3):
            self.assertEqual(self.ask(rig, client=client), 403)
        self.assertIsNone(client.ending)
        self.assertEqual(rig.errors("address"), 0)
        self.assertEqual(rig.backend.attempts, 0)

    def test_who_is_denied_is_not_told_where_it_is_now(self) -> None:
        rig = Rig(self, routes=(Route("r", redirect=Redirect("https://b/"), deny=("0.0.0.0/0",)),))
        self.assertEqual(self.ask(rig), 403)

    def test_the_client_behind_a_trusted_proxy_counts(self) -> None:
        """R1, S27"""
        rig = Rig(
            self,
            listener={"trusted_proxies": ("198.51.100.0/24",)},
            routes=(Route("r", pools=POOLS, deny=("203.0.113.9",)),),
        )
        client = rig.client()
        for forwarded, status in ((b"203.0.113.9", 403), (b"203.0.113.8", 200)):
            wire = get(lines=b"X-Forwarded-For: " + forwarded + b"\r\n")
            self.assertEqual(self.ask(rig, wire, client), status)
            self.assertEqual(self.ask(rig, wire, "192.0.2.1"), 200)

    def test_a_reload_holds_for_connections_that_are_open(self) -> None:
        rig = self.rig()
        client = rig.client()
        self.assertEqual(self.ask(rig, client=client), 200)
        rig.change(routes=(Route("r", pools=POOLS, deny=("198.51.100.7",)),))
        self.assertEqual(self.ask(rig, client=client), 403)
        rig.change(routes=(Route("r", pools=POOLS),))
        self.assertEqual(self.ask(rig, client=client), 200)


class RateLimits(Gates):
    def test_so_many_and_no_more(self) -> None:
        """R1"""
        rig = self.rig(rate_limit=RateLimit(0.5, 3))
        client = rig.client()
        for remaining in (2, 1, 0):
            answer = self.answer(rig, client=client)
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.field(b"ratelimit-policy"), b'"veloflux";q=3;w=6')
            self.assertEqual(
                answer.field(b"ratelimit"), b'"veloflux";r=%d;t=%d' % (remaining, 6 - 2 * remaining)
            )
        rig.wait(0.9)
        answer = self.answer(rig, client=client)
        self.assertEqual(answer.status, 429)
        self.assertEqual(json.loads(answer.body)["title"], "Too Many Requests")
        # 1.1 s is rounded up: after one second it would be refused again.
        self.assertEqual(answer.field(b"retry-after"), b"2")
        self.assertEqual(answer.field(b"ratelimit-policy"), b'"veloflux";q=3;w=6')
        self.assertEqual(answer.field(b"ratelimit"), b'"veloflux";r=0;t=6')
        rig.wait(1.2)
        self.assertEqual(self.ask(rig, client=client), 200)
        self.assertEqual(rig.count(DECISIONS, "r", "allowed"), 4)
        self.assertEqual(rig.count(DECISIONS, "r", "limited"), 1)
        self.assertEqual(rig.errors("rate_limit"), 0)
        entries = rig.entries(5)
        self.assertEqual(
            [entry["ratelimit"] for entry in entries], ["allowed"] * 3 + ["limited", "allowed"]
        )
        self.assertEqual(entries[3]["error"], "rate_limit")

    def test_it_holds_for_all_connections_of_a_client(self) -> None:
        rig = self.rig(rate_limit=RateLimit(1, 2))
        statuses = [self.ask(rig) for _ in range(3)]
        self.assertEqual(statuses, [200, 200, 429])
        self.assertEqual(self.ask(rig, client="198.51.100.8"), 200)

    def test_a_head_that_comes_again_counts_again(self) -> None:
        rig = self.rig(rate_limit=RateLimit(1, 3))
        client = rig.client()
        client.send(get() * 3)
        for _ in range(3):
            rig.backend.request()
            rig.backend.answer(OK)
        client.send(get() * 2)
        self.assertEqual(
            [each.status for each in client.answers(*[b"GET"] * 5)], [200] * 3 + [429] * 2
        )

    def test_an_ipv6_site_counts_as_one(self) -> None:
        """R1"""
        rig = self.rig(rate_limit=RateLimit(1, 1))
        self.assertEqual(self.ask(rig, client="2001:db8::1"), 200)
        self.assertEqual(self.ask(rig, client="2001:db8::ffff:1"), 429)
        self.assertEqual(self.ask(rig, client="2001:db8:0:1::1"), 200)

    def test_what_a_client_says_of_its_address_changes_nothing(self) -> None:
        """R1"""
        rig = self.rig(rate_limit=RateLimit(1, 1))
        statuses = [
            self.ask(rig, get(lines=b"X-Forwarded-For: 203.0.113.%d\r\n" % n)) for n in range(3)
        ]
        self.assertEqual(statuses, [200, 429, 429])

    def test_all_clients_of_a_route_together(self) -> None:
        rig = self.rig(rate_limit=RateLimit(1, 2, key="route"))
        statuses = [self.ask(rig, client=f"203.0.113.{n}") for n in range(3)]
        self.assertEqual(statuses, [200, 200, 429])

    def test_by_a_header_or_a_cookie(self) -> None:
        for key, lines in (
            ("header:X-Key", (b"X-Key: a\r\n", b"x-key: b\r\n")),
            ("cookie:id", (b"Cookie: x=y; id=a\r\n", b"Cookie: id=b\r\n")),
        ):
            with variant(key):
                rig = self.rig(rate_limit=RateLimit(1, 1, key=key))
                one, other = (get(lines=each) for each in lines)
                self.assertEqual(self.ask(rig, one, "203.0.113.1"), 200)
                self.assertEqual(self.ask(rig, one, "203.0.113.2"), 429)
                self.assertEqual(self.ask(rig, other, "203.0.113.2"), 200)

    def test_leaving_the_header_out_is_no_way_around(self) -> None:
        """R1: such a request counts for its address, and for no other's."""
        rig = self.rig(rate_limit=RateLimit(1, 1, key="header:X-Key"))
        self.assertEqual(self.ask(rig, client="203.0.113.1"), 200)
        self.assertEqual(self.ask(rig, client="203.0.113.1"), 429)
        self.assertEqual(self.ask(rig, client="203.0.113.2"), 200)
        # Nor can the header say an address, whose bytes these are.
        self.assertEqual(self.ask(rig, get(lines=b"X-Key: ABCD\r\n"), "203.0.113.4"), 200)
        self.assertEqual(self.ask(rig, client="65.66.67.68"), 200)

    def test_routes_share_nothing(self) -> None:
        limit = RateLimit(1, 1)
        routes = [
            Route(name, path_prefix=f"/{name}", pools=POOLS, rate_limit=limit) for name in "ab"
        ]
        rig = Rig(self, routes=tuple(routes))
        statuses = [self.ask(rig, get(path)) for path in (b"/a", b"/b", b"/a", b"/b")]
        self.assertEqual(statuses, [200, 200, 429, 429])

    def test_a_reload_neither_forgives_nor_punishes(self) -> None:
        slow, fast = RateLimit(0.001, 1), RateLimit(10, 1)
        rig = self.rig(rate_limit=slow)
        self.assertEqual(self.ask(rig), 200)
        rig.change(routes=(Route("r", pools=POOLS, rate_limit=slow, websocket=False),))
        self.assertEqual(self.ask(rig), 429, "the same limit goes on")
        rig.change(routes=(Route("r", pools=POOLS, rate_limit=fast),))
        self.assertEqual(self.ask(rig), 200, "another limit begins anew")

    def test_a_body_that_is_refused_is_not_sent(self) -> None:
        rig = self.rig(rate_limit=RateLimit(1, 1))
        self.assertEqual(self.ask(rig, POST), 200)
        client = rig.client()
        client.send(POST.replace(b"hello", b""))
        self.assertEqual(client.answer(b"POST").status, 429)
        self.assertEqual(len(rig.backend.connection.requests()), 1)

    def test_the_backend_s_own_limits_are_told_too(self) -> None:
        rig = self.rig(rate_limit=RateLimit(100, 10))
        answer = self.answer(rig, answer=ok(b"", b'RateLimit: "api";r=5;t=9\r\n'))
        self.assertEqual(values(answer, b"ratelimit"), [b'"api";r=5;t=9', b'"veloflux";r=9;t=1'])
        self.assertEqual(answer.field(b"ratelimit-policy"), b'"veloflux";q=10')

    def test_an_answer_that_is_not_the_backend_s_tells_too(self) -> None:
        rig = self.rig(rate_limit=RateLimit(1, 5), max_body_bytes=1)
        answer = self.answer(rig, POST)
        self.assertEqual(answer.status, 413)
        self.assertEqual(answer.field(b"ratelimit"), b'"veloflux";r=4;t=1')
        rig.backend.refuses = 111
        answer = self.answer(rig)
        self.assertEqual(answer.status, 503)
        self.assertEqual(answer.field(b"ratelimit"), b'"veloflux";r=3;t=2')

    def test_a_route_without_a_limit_tells_nothing(self) -> None:
        limited = Route("l", path_prefix="/l", pools=POOLS, rate_limit=RateLimit(1, 9))
        rig = Rig(self, routes=(Route("r", pools=POOLS), limited))
        client = rig.client()
        for path, told in ((b"/l", True), (b"/", False), (b"/l", True), (b"/", False)):
            answer = self.answer(rig, get(path), client)
            self.assertEqual(answer.field(b"ratelimit") is not None, told, path)


class CrossOrigin(Gates):
    def test_a_question_is_answered_here(self) -> None:
        rig = self.rig(cors=OURS, rate_limit=RateLimit(1, 1))
        client = rig.client()
        for _ in range(3):
            answer = self.answer(
                rig, options(FROM_HERE + b"Access-Control-Request-Headers: x-a\r\n"), client
            )
            self.assertEqual((answer.status, answer.body), (204, b""))
            self.assertEqual(answer.field(b"access-control-allow-origin"), HERE)
            self.assertEqual(answer.field(b"access-control-allow-methods"), b"GET, PUT")
            self.assertEqual(answer.field(b"access-control-allow-headers"), b"x-a")
            self.assertEqual(answer.field(b"access-control-allow-credentials"), b"true")
            self.assertIsNone(answer.field(b"content-length"))
        self.assertEqual(rig.backend.attempts, 0)
        self.assertEqual(rig.count(DECISIONS), 0)
        self.assertEqual(rig.errors("preflight"), 0)

    def test_a_question_that_is_denied_gets_nothing_to_read(self) -> None:
        rig = self.rig(cors=OURS)
        for wire in (
            options(b"Origin: https://evil.example\r\n"),
            options(FROM_HERE, b"DELETE"),
            options(FROM_HERE + b"Access-Control-Request-Headers: X-B\r\n"),
            options(FROM_HERE + FROM_HERE),
        ):
            answer = self.answer(rig, wire)
            self.assertEqual(answer.status, 204)
            names = [name.lower() for name, _ in answer.fields]
            self.assertEqual([name for name in names if name.startswith(b"access-")], [])

    def test_other_options_go_on(self) -> None:
        rig = self.rig(cors=OURS)
        wire = b"OPTIONS / HTTP/1.1\r\nHost: a\r\n" + FROM_HERE + b"\r\n"
        self.assertEqual(self.ask(rig, wire), 200)
        self.assertEqual(self.ask(rig, options()), 200)
        self.assertEqual(self.ask(self.rig(), options(FROM_HERE)), 200)

    def test_a_question_finds_a_route_that_leaves_options_out(self) -> None:
        rig = self.rig(cors=OURS, methods=("GET", "PUT"))
        answer = self.answer(rig, options(FROM_HERE))
        self.assertEqual(answer.field(b"access-control-allow-origin"), HERE)
        self.assertEqual(self.ask(rig, options(FROM_HERE, b"DELETE")), 404)
        # It is no way for an OPTIONS to a backend that shall get none.
        self.assertEqual(self.ask(rig, options()), 204)
        self.assertEqual(rig.backend.attempts, 0)

    def test_the_backend_s_own_word_is_replaced(self) -> None:
        rig = self.rig(cors=OURS)
        theirs = (
            b"access-control-allow-origin: *\r\nAccess-Control-Allow-Credentials: false\r\n"
            b"Access-Control-Expose-Headers: X-Secret\r\nVary: Accept\r\n"
        )
        client = rig.client()
        for lines, said in (
            (FROM_HERE, [HERE]),
            (b"Origin: https://evil.example\r\n", []),
            (b"", []),
            (FROM_HERE, [HERE]),
        ):
            answer = self.answer(rig, get(lines=lines), client, ok(b"ok", theirs))
            self.assertEqual(answer.status, 200)
            self.assertEqual(values(answer, b"access-control-allow-origin"), said)
            self.assertEqual(
                values(answer, b"access-control-allow-credentials"), [b"true"] if said else []
            )
            self.assertEqual(values(answer, b"access-control-expose-headers"), [])
            self.assertEqual(values(answer, b"vary"), [b"Accept", b"Origin"])

    def test_routes_of_one_backend_do_not_mix_their_answers(self) -> None:
        plain = Route("plain", path_prefix="/plain", pools=POOLS)
        rig = Rig(self, routes=(Route("r", pools=POOLS, cors=OURS), plain))
        client = rig.client()
        for path, said in ((b"/", HERE), (b"/plain", None), (b"/", HERE), (b"/plain", None)):
            answer = self.answer(rig, get(path, FROM_HERE), client)
            self.assertEqual(answer.field(b"access-control-allow-origin"), said)

    def test_a_page_can_read_what_went_wrong(self) -> None:
        rig = self.rig(cors=OURS, rate_limit=RateLimit(1, 2), max_body_bytes=1)
        long = POST.replace(b"\r\n\r\n", b"\r\n" + FROM_HERE + b"\r\n")
        rig.backend.refuses = 111
        for wire, status in ((get(lines=FROM_HERE), 503), (long, 413), (get(lines=FROM_HERE), 429)):
            answer = self.answer(rig, wire)
            self.assertEqual(answer.status, status)
            self.assertEqual(answer.field(b"access-control-allow-origin"), HERE)

    def test_a_page_can_read_that_its_body_was_too_long(self) -> None:
        """L2: also when that shows on the way."""
        rig = self.rig(cors=OURS, rate_limit=RateLimit(1, 2), max_body_bytes=3)
        client = rig.client()
        client.send(UPLOAD.replace(b"\r\n\r\n", b"\r\n" + FROM_HERE + b"\r\n"))
        client.send(b"5\r\nhello\r\n")
        answer = client.answer(b"POST")
        self.assertEqual(answer.status, 413)
        self.assertEqual(answer.field(b"access-control-allow-origin"), HERE)
        self.assertEqual(answer.field(b"ratelimit"), b'"veloflux";r=1;t=1')

    def test_a_redirect_can_be_followed(self) -> None:
        rig = Rig(self, routes=(Route("r", redirect=Redirect("https://b.example/"), cors=OURS),))
        answer = self.answer(rig, get(lines=FROM_HERE))
        self.assertEqual(answer.status, 308)
        self.assertEqual(answer.field(b"access-control-allow-origin"), HERE)

    def test_the_operator_s_edits_are_the_last_word(self) -> None:
        edits = HeaderEdits(set=(("Access-Control-Allow-Origin", "https://b.example"),))
        rig = self.rig(cors=OURS, response_headers=edits)
        answer = self.answer(rig, get(lines=FROM_HERE))
        self.assertEqual(values(answer, b"access-control-allow-origin"), [b"https://b.example"])

    def test_what_cannot_be_is_refused_before_it_serves(self) -> None:
        rig = self.rig()
        for fields in (
            {"cors": Cors(("*",), credentials=True)},
            {"cors": Cors(("example.org",))},
            {"rate_limit": RateLimit(0)},
            {"rate_limit": RateLimit(1, key="path")},
            {"rate_limit": RateLimit(1, key="header:")},
            {"rate_limit": RateLimit(1, key="header:X-Forwarded-For")},
            {"allow": ("10.0.0.1/8",)},
        ):
            route = Route("r", pools=POOLS, **fields)
            self.assertRaises(ValueError, rig.change, routes=(route,))
            self.assertEqual(self.ask(rig), 200)
