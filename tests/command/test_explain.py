"""`veloflux explain`: one request, one configuration, and what becomes of the one by the other."""

import json
from pathlib import Path
from textwrap import dedent

import yaml
from twisted.trial.unittest import SynchronousTestCase

from tests.command.test_local import run

FILE = """\
listeners:
  - {name: web, address: 127.0.0.1:8080, trusted_proxies: [10.0.0.0/8]}
  - {name: inner, address: 127.0.0.1:8081, deny: [192.0.2.0/24]}
  - {name: relay, address: 127.0.0.1:8082, protocol: tcp, pool: app}
pools:
  - name: app
    algorithm: ip_hash
    backends: [{address: 127.0.0.1:9001}, {address: 127.0.0.1:9002, enabled: false}]
  - {name: next, backends: [{address: 127.0.0.1:9003}]}
routes:
  - {id: old, host: old.example, redirect: {to: "https://new.example/"}}
  - {id: intern, host: shop.example, path_prefix: /intern, allow: [192.0.2.0/24], pool: app}
  - {id: beta, host: shop.example, headers: {X-Beta: "1"}, pool: next}
  - {id: shop, host: shop.example, methods: [GET, POST], pool: app}
  - {id: both, host: both.example, pools: [{pool: app}, {pool: next}]}
"""


class Explain(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()
        Path(self.path).write_text(FILE)

    def explain(self, *arguments: str) -> tuple[int, str, str]:
        return run("explain", "-c", self.path, *arguments)

    def plain(self, *arguments: str) -> dict[str, object]:
        answer: dict[str, object] = json.loads(self.explain(*arguments, "-o", "json")[1])
        return answer

    def test_says_where_a_request_goes_and_why_not_elsewhere(self) -> None:
        status, out, err = self.explain("GET", "http://shop.example/cart?x=1")
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(
            out,
            dedent("""\
            request  GET /cart of host shop.example, from 127.0.0.1 at listener web
            state    every backend is taken as healthy and idle, the client as new

            route    shop
              not    beta: asks for another value of x-beta
              not    intern: has another path
              nor    2 for other hosts, with this path

            pool     app
            backend  127.0.0.1:9001 by ip_hash

                BACKEND         WEIGHT  LOAD  SCORE   WHY NOT
            ->  127.0.0.1:9001  1       0     0.3362
                127.0.0.1:9002  1       0     -       enabled: false

            timeouts 3 s to connect, 30 s to the first byte, 30 s without progress, 2 s in the queue
            retries  1 after the first attempt, 20 % of the pool's requests at most
                     on connect_failure, refused, reset_before_response
            """),
        )

    def test_programs_get_stable_names(self) -> None:
        found = self.plain("GET", "http://shop.example/cart?x=1")
        self.assertEqual(
            list(found),
            [
                *("request", "state", "listener", "client_ip", "route", "routes"),
                *("routes_complete", "steps", "pools", "pool", "backend", "pick_reason"),
                *("backends", "timeouts", "retries", "answer"),
            ],
        )
        self.assertEqual(
            found["request"],
            {"method": "GET", "host": "shop.example", "path": "/cart", "query_len": 4},
        )
        backends = found["backends"]
        assert isinstance(backends, list)
        off = {"backend": "127.0.0.1:9002", "why_not": "disabled", "weight": 1, "load": 0}
        self.assertEqual(backends[1], off | {"score": None})
        self.assertEqual(found["state"], "idle")
        _, out, _ = self.explain("GET", "http://shop.example/cart?x=1", "-o", "yaml")
        self.assertEqual(yaml.safe_load(out), found)

    def test_the_exit_status_says_what_became_of_it(self) -> None:
        for expected, method, url in (
            (0, "GET", "http://shop.example/"),
            (0, "GET", "http://old.example/"),
            (4, "DELETE", "http://shop.example/"),
            (4, "GET", "http://elsewhere.example/"),
            (5, "GET", "http://shop.example/intern"),
            (5, "GET", "http://shop.example/%00"),
            (2, "GET", "shop.example/"),
            (2, "GET", "ftp://shop.example/"),
            (2, "GET", "http://shop.example:x/"),
            (2, "GET", "http://shop.example/ä"),
            (2, "G T", "http://shop.example/"),
        ):
            with self.subTest(url):
                self.assertEqual(self.explain(method, url)[0], expected)

    def test_an_error_names_the_thing_and_the_way_out(self) -> None:
        for arguments, said in (
            (
                ("GET", "shop.example/"),
                "'shop.example/' is no URL of a request; write http://host/path",
            ),
            (("GET", "http://a/", "--client-ip", "x"), "'x' is no address; write 192.0.2.1"),
            (("GET", "http://a/", "-H", "x"), "'x' is no header; write 'Name: value'"),
            (("GET", "http://a/", "-H", "A: b\r\nC: d"), "is no header"),
            (("GET", "http://a/", "--listener", "relay"), "there are: web, inner"),
        ):
            with self.subTest(said):
                status, out, err = self.explain(*arguments)
                self.assertEqual((status, out), (2, ""))
                self.assertIn(said, err)

    def test_a_file_with_errors_explains_nothing(self) -> None:
        Path(self.path).write_text("routes: 1\n")
        status, out, err = self.explain("GET", "http://a/")
        self.assertEqual((status, out), (1, ""))
        self.assertIn(f"{self.path}:1", err)

    def test_headers_and_addresses_count(self) -> None:
        found = self.plain(
            "GET", "http://a.example/", "-H", "Host: shop.example", "-H", "X-Beta: 1"
        )
        self.assertEqual((found["route"], found["backend"]), ("beta", "127.0.0.1:9003"))
        named = ("-H", "X-Forwarded-For: 192.0.2.7", "--client-ip", "10.0.0.9")
        found = self.plain("GET", "http://shop.example/intern", *named)
        self.assertEqual((found["client_ip"], found["answer"]), ("192.0.2.7", None))

    def test_the_listener_is_the_one_of_the_url_s_port(self) -> None:
        for url, more, expected in (
            ("http://shop.example/", (), "web"),
            ("http://shop.example:8081/", (), "inner"),
            ("http://shop.example:8080/", ("--listener", "inner"), "inner"),
        ):
            self.assertEqual(self.plain("GET", url, *more)["listener"], expected)
        status, out, _ = self.explain(
            "GET", "http://shop.example:8081/", "--client-ip", "192.0.2.1"
        )
        self.assertEqual(status, 5)
        self.assertIn("answer   none: The listener closes connections", out)

    def test_a_seed_draws_the_same_again_and_chance_draws_both(self) -> None:
        pools = {
            str(self.plain("GET", "http://both.example/", "--seed", f"{seed}")["pool"])
            for seed in range(20)
        }
        self.assertEqual(pools, {"app", "next"})
        first, second = (self.plain("GET", "http://both.example/", "--seed", "3") for _ in range(2))
        self.assertEqual(first, second)

    def test_a_refusal_shows_the_answer(self) -> None:
        status, out, _ = self.explain("GET", "http://old.example/a")
        self.assertEqual(status, 0)
        self.assertIn("answer   308 redirect", out)
        self.assertIn("Location: https://new.example/a", out)
        _, out, _ = self.explain("GET", "http://nowhere.example/")
        self.assertIn("answer   404 route", out)
        self.assertIn("Give a route this host and path", out)

    def test_of_many_routes_the_near_ones_are_named(self) -> None:
        more = "".join(f"  - {{id: r{n}, path_prefix: /p{n}, pool: app}}\n" for n in range(20))
        Path(self.path).write_text(FILE + more)
        _, out, _ = self.explain("GET", "http://a.example/p7/x")
        self.assertIn("route    r7\n", out)
        self.assertEqual(out.count("has another path"), 8)
        self.assertIn(
            "  nor    11 with other paths\n  nor    4 for other hosts, with this path\n", out
        )
        many = "".join(f"  - {{id: r{n}, path_prefix: /p{n}, pool: app}}\n" for n in range(99))
        Path(self.path).write_text(FILE + many)
        status, out, _ = self.explain("GET", "http://a.example/")
        self.assertEqual(status, 4)
        self.assertIn("  nor    many more\n", out)
        self.assertFalse(self.plain("GET", "http://a.example/")["routes_complete"])
