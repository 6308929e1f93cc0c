"""C2: values that are right alone, and wrong or doubtful together."""

from twisted.trial.unittest import SynchronousTestCase

from tests.config.files import (
    SMALLEST,
    problems,
    said,
    with_backend,
    with_listener,
    with_pool,
    with_route,
)
from veloflux.config.checks.listening import is_loopback
from veloflux.core.model.address import Address

_TCP = with_listener("protocol: tcp, pool: app")


class Checks(SynchronousTestCase):
    def error(self, text: str, path: str, what: str) -> None:
        [problem] = [p for p in problems(text) if p.code != "advice"]
        self.assertEqual((problem.path, problem.code), (path, "conflict"))
        self.assertIn(what, problem.message)
        self.assertGreater(problem.line, 0)

    def warning(self, text: str, path: str, what: str) -> None:
        [problem] = problems(text)
        self.assertEqual((problem.path, problem.code), (path, "advice"))
        self.assertIn(what, problem.message)

    def fine(self, text: str) -> None:
        self.assertEqual(said(text), [])


class Listening(Checks):
    def test_an_address_is_listened_on_once(self) -> None:
        other = SMALLEST.replace("pools:", "  - address: 127.0.0.1:8080\npools:", 1)
        self.error(other, "listeners[1].address", "is also listeners[0].address")
        admin = SMALLEST + "admin: {address: 127.0.0.1:8080}\n"
        self.error(admin, "admin.address", "is also listeners[0].address")
        metrics = SMALLEST + "metrics: {address: 127.0.0.1:9090}\n"
        self.error(metrics, "metrics.address", "is also admin.address")

    def test_names_of_listeners_are_told_apart(self) -> None:
        text = SMALLEST.replace(
            "  - address: 127.0.0.1:8080\n",
            "  - {address: 127.0.0.1:8080, name: a}\n  - {address: 127.0.0.1:8081, name: a}\n",
        )
        self.error(text, "listeners[1].name", "is also the name of listeners[0]")

    def test_a_tcp_listener_needs_a_pool_and_only_it_has_one(self) -> None:
        self.error(with_listener("protocol: tcp"), "listeners[0].pool", "is missing")
        self.error(with_listener("pool: app"), "listeners[0].pool", "is for tcp listeners")
        self.error(
            with_listener("protocol: tcp, pool: ap"), "listeners[0].pool", 'did you mean "app"?'
        )
        self.fine(_TCP)

    def test_what_a_tcp_listener_ignores_is_pointed_out(self) -> None:
        text = with_listener("protocol: tcp, pool: app, limits: {max_headers: 5}")
        self.warning(text, "listeners[0].limits.max_headers", "no effect on a tcp listener")
        text = with_listener("protocol: tcp, pool: app, trusted_proxies: [10.0.0.0/8]")
        self.warning(text, "listeners[0].trusted_proxies", "no effect")
        self.fine(with_listener("protocol: tcp, pool: app, limits: {write_timeout: 5s}"))
        self.fine(
            with_listener(
                "protocol: tcp, pool: app, proxy_protocol: true, trusted_proxies: [10.0.0.0/8], "
                "limits: {header_timeout: 5s}"
            )
        )

    def test_http2_in_clear_text_where_there_is_none_is_pointed_out(self) -> None:
        self.warning(
            with_listener("protocol: tcp, pool: app, h2c: true"),
            "listeners[0].h2c",
            "in clear text with http alone",
        )
        self.fine(with_listener("h2c: true"))

    def test_shared_connections_have_no_one_client(self) -> None:
        text = SMALLEST.replace("name: app\n", "name: app\n    protocol: h2\n")
        self.fine(text)
        self.error(
            text.replace("protocol: h2\n", "protocol: h2\n    proxy_protocol: v2\n"),
            "pools[0].proxy_protocol",
            "shared by clients",
        )

    def test_headers_that_anybody_may_send_are_pointed_out(self) -> None:
        """S27"""
        proxies = "proxy_protocol: true, trusted_proxies: [10.0.0.0/8]"
        for address in ("0.0.0.0:80", "192.0.2.1:80"):
            text = with_listener("proxy_protocol: true").replace("127.0.0.1:8080", address)
            self.warning(text, "listeners[0].proxy_protocol", "list the proxies in trusted_proxies")
            self.fine(with_listener(proxies).replace("127.0.0.1:8080", address))
        self.fine(with_listener("proxy_protocol: true"))

    def test_a_port_of_the_systems_choice_is_pointed_out(self) -> None:
        """C2: port 0."""
        self.warning(SMALLEST.replace("8080", "0"), "listeners[0].address", "port 0")

    def test_the_admin_listener_stays_on_loopback(self) -> None:
        for address in ("0.0.0.0:9090", '"[::]:9090"', "192.0.2.1:9090", "admin.example.org:9090"):
            text = SMALLEST + f"admin: {{address: {address}}}\n"
            self.error(text, "admin.address", "is not loopback")
            self.fine(text.replace("{", "{insecure_admin: true, "))
            found = problems(text.replace("{", "{tls: {self_signed: [a]}, "))
            self.assertEqual(found, ())
            bare = text.replace("{", "{insecure_admin: true, auth_enabled: false, ")
            self.warning(bare, "admin.address", "anybody who reaches it")
        self.fine(SMALLEST + "admin: {address: 'unix:/run/admin', auth_enabled: false}\n")

    def test_loopback_is_what_only_this_machine_reaches(self) -> None:
        for text in ("127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1", "unix:/a"):
            self.assertTrue(is_loopback(Address.parse(text)), text)
        for text in ("0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1", "app:1"):
            self.assertFalse(is_loopback(Address.parse(text)), text)


class Balancing(Checks):
    def test_names_of_pools_are_told_apart(self) -> None:
        """C2: duplicate ids."""
        text = SMALLEST.replace(
            "routes:", "  - {name: app, backends: [{address: 127.0.0.1:9002}]}\nroutes:"
        )
        self.error(text, "pools[1].name", '"app" is also the name of pools[0]')

    def test_a_backend_is_in_a_pool_once(self) -> None:
        text = SMALLEST.replace("routes:", "      - address: 127.0.0.1:9001\nroutes:")
        self.error(text, "pools[0].backends[1].address", "is also backends[0]")

    def test_a_pool_that_can_choose_nobody_is_pointed_out(self) -> None:
        """C2: weight 0."""
        self.warning(with_backend("weight: 0"), "pools[0].backends", "every request is refused")
        self.warning(with_backend("enabled: false"), "pools[0].backends", "every request")
        self.fine(with_backend("weight: 0").replace("routes:", "      - address: a:1\nroutes:"))

    def test_a_circle_is_pointed_out(self) -> None:
        """C2: a proxy that is its own backend."""
        text = SMALLEST.replace("9001", "8080")
        self.warning(text, "pools[0].backends[0].address", "is listeners[0]: requests would go in")
        for wildcard in ("0.0.0.0:8080", '"[::]:8080"'):
            self.warning(
                text.replace("address: 127.0.0.1:8080", f"address: {wildcard}", 1),
                "pools[0].backends[0].address",
                "in a circle",
            )
        self.fine(text.replace("127.0.0.1:8080", "0.0.0.0:8080", 1).replace("127.0.0.1", "a"))

    def test_checks_that_overlap_are_pointed_out(self) -> None:
        text = with_pool("health_check: {interval: 1s, timeout: 2s}")
        self.warning(text, "pools[0].health_check.timeout", "longer than the interval")

    def test_what_a_tcp_check_ignores_is_pointed_out(self) -> None:
        text = with_pool("health_check: {type: tcp, path: /x}")
        self.warning(text, "pools[0].health_check.path", "no effect with type: tcp")


class Routing(Checks):
    def test_a_route_leads_to_one_place(self) -> None:
        self.error(with_route("host: a"), "routes[0]", "goes nowhere")
        self.error(with_route("pool: app, pools: [{pool: app}]"), "routes[0].pools", "take one out")
        self.error(with_route("pool: app, redirect: {to: /}"), "routes[0].redirect", "take one out")

    def test_pools_of_a_route_exist(self) -> None:
        self.error(with_route("pool: ap"), "routes[0].pool", 'did you mean "app"?')
        self.error(
            with_route("pools: [{pool: app}, {pool: b}]"), "routes[0].pools[1].pool", "no pool"
        )
        self.error(
            with_route("pools: [{pool: app}, {pool: app}]"), "routes[0].pools[1].pool", "twice"
        )

    def test_a_pool_with_errors_of_its_own_is_still_known(self) -> None:
        self.assertEqual(len(problems(with_pool("algorithm: x"))), 1)
        self.assertEqual(len(problems(SMALLEST.replace("name: app", "name: 5"))), 1)
        self.assertEqual(len(problems("listeners: [{address: a:1}]\npools: 5\n"
                                      "routes: [{pool: a}]\n")), 1)  # fmt: skip

    def test_ids_are_told_apart(self) -> None:
        """C2: duplicate ids."""
        text = SMALLEST + "  - {pool: app, id: a, host: a}\n  - {pool: app, id: a, host: b}\n"
        self.error(text, "routes[2].id", '"a" is also the id of routes[1]')
        text = SMALLEST + "  - {pool: app, host: a}\n  - {pool: app, host: a, methods: [GET]}\n"
        [conflict, shadow] = problems(text)
        self.assertIn("give this one its own", conflict.message)
        self.assertIn("is never reached", shadow.message)

    def test_two_routes_for_the_same_are_an_error(self) -> None:
        """C2: route shadowing, when nothing tells two apart."""
        for first, second in (
            ("path_prefix: /a", "path_prefix: /a/"),
            ("host: A.b", "host: a.b."),
            ("methods: [GET, PUT]", "methods: [PUT, GET]"),
            ("headers: {X-A: b, X-C: d}", "headers: {x-c: d, x-a: b}"),
        ):
            text = (
                SMALLEST
                + f"  - {{pool: app, id: x, {first}}}\n  - {{pool: app, id: y, {second}}}\n"
            )
            found = [p for p in problems(text) if p.code == "conflict"]
            self.assertEqual([p.path for p in found], ["routes[2]"], second)
            self.assertIn("routes[1] has the same host, prefix", found[0].message)

    def test_a_route_that_is_never_reached_is_pointed_out(self) -> None:
        """C2: route shadowing."""
        for first, second in (
            ("", "methods: [GET]"),
            ("", "headers: {X-A: b}"),
            ("methods: [GET, PUT]", "methods: [GET]"),
            ("headers: {X-A: b}", "headers: {X-A: b, X-C: d}"),
        ):
            text = with_route(f"pool: app, {first}") + f"  - {{pool: app, id: x, {second}}}\n"
            self.warning(text, "routes[1]", "is never reached: routes[0] takes its requests")
            self.fine(with_route(f"pool: app, {second}") + f"  - {{pool: app, id: x, {first}}}\n")

    def test_routes_that_differ_are_fine(self) -> None:
        for keys in ("path_prefix: /a", "host: a", "host: '*.a'"):
            self.fine(SMALLEST + f"  - {{pool: app, id: x, {keys}}}\n")
        text = with_route("pool: app, methods: [GET]") + "  - {pool: app, methods: [PUT], id: x}\n"
        self.fine(text)

    def test_two_pools_of_a_host_with_the_same_sticky_cookie_are_pointed_out(self) -> None:
        text = """
listeners: [{{address: "127.0.0.1:80"}}]
pools:
  - {{name: a, sticky_sessions: {{}}, backends: [{{address: "127.0.0.1:1"}}]}}
  - {{name: b, sticky_sessions: {cookie}, backends: [{{address: "127.0.0.1:2"}}]}}
routes:
  - {{host: {one}, pool: a, path_prefix: /a}}
  - {{host: {other}, pools: [{{pool: b}}], path_prefix: /b}}
"""
        same = text.format(cookie="{}", one="h", other="h")
        self.warning(same, "routes[1]", 'pools "a" and "b" of this host set the same cookie')
        self.fine(text.format(cookie="{cookie: mine}", one="h", other="h"))
        self.fine(text.format(cookie="{}", one="h", other="i"))

    def test_shares_without_any_weight_are_pointed_out(self) -> None:
        self.warning(with_route("pools: [{pool: app, weight: 0}]"), "routes[0].pools", "weight 0")

    def test_what_a_redirect_ignores_is_pointed_out(self) -> None:
        text = with_route("redirect: {to: /}, strip_prefix: true")
        self.warning(text, "routes[0].strip_prefix", "no effect with redirect")

    def test_no_routes_at_all_are_pointed_out(self) -> None:
        text = SMALLEST.partition("routes:")[0]
        self.warning(text, "routes", "answered 404")
        self.fine(_TCP.partition("routes:")[0])

    def test_many_routes_of_one_place_take_no_time_to_compare(self) -> None:
        """C1: no input makes work out of proportion."""
        routes = "".join(
            f"  - {{pool: app, id: r{i}, headers: {{X-A: v{i}}}}}\n" for i in range(3000)
        )
        self.fine(SMALLEST.replace("  - pool: app\n", routes))
