"""C2: values by themselves; each that is wrong is refused with the way out."""

from twisted.trial.unittest import SynchronousTestCase

from tests.config.files import (
    SMALLEST,
    loaded,
    said,
    with_backend,
    with_listener,
    with_pool,
    with_route,
)
from veloflux.config.problem import ConfigError

# C2: one line each, what is written and what must be said about it.
REFUSED: tuple[tuple[str, str, str], ...] = (
    # Weights.
    (with_backend("weight: -1"), "weight", "is -1; must be at least 0"),
    (with_backend("weight: 1001"), "weight", "is 1001; must be at most 1000"),
    (with_backend("weight: .nan"), "weight", "must be a whole number"),
    (with_backend("weight: 1e308"), "weight", "must be a whole number"),
    (with_backend("weight: 1.0"), "weight", "must be a whole number"),
    (with_backend("weight: true"), "weight", "must be a whole number"),
    (with_backend("weight: 010"), "weight", "write it without leading zeros"),
    (with_backend('weight: "1"'), "weight", "take the quotes off"),
    (with_route("pools: [{pool: app, weight: -1}]"), "weight", "must be at least 0"),
    # Addresses and ports.
    (SMALLEST.replace("9001", "0"), "address", "port 0"),
    (SMALLEST.replace("9001", "65536"), "address", "at most 65535"),
    (SMALLEST.replace("9001", "09001"), "address", "is no address"),
    (SMALLEST.replace("127.0.0.1:9001", "9001"), "address", "must be text such as"),
    (SMALLEST.replace("127.0.0.1:9001", "127.1:9001"), "address", "no valid IP address"),
    (SMALLEST.replace("127.0.0.1:9001", "0.0.0.0:9001"), "address", "no place to connect"),
    (SMALLEST.replace("127.0.0.1:9001", "http://app:80"), "address", "is no address"),
    (SMALLEST.replace("127.0.0.1:9001", "unix:app.sock"), "address", "absolute path"),
    (SMALLEST.replace("127.0.0.1:8080", '":8080"'), "address", "write 0.0.0.0:8080"),
    (SMALLEST.replace("127.0.0.1:8080", '"::1:8080"'), "address", "write host:port, [v6]:port"),
    (SMALLEST.replace("127.0.0.1:8080", "a" * 9999 + ":1"), "address", "too long"),
    # Origins.
    (SMALLEST + "admin: {cors_origins: ['*']}\n", "cors_origins[0]", "too wide"),
    (SMALLEST + "admin: {cors_origins: ['null']}\n", "cors_origins[0]", "too wide"),
    (SMALLEST + "admin: {cors_origins: ['https://*.a.b']}\n", "cors_origins[0]", "too wide"),
    (SMALLEST + "admin: {cors_origins: [a.b]}\n", "cors_origins[0]", "is no origin"),
    # Durations.
    (with_pool("timeouts: {connect: 0s}"), "connect", "longer than 0s"),
    (with_pool("timeouts: {connect: -1s}"), "connect", "no duration"),
    (with_pool("timeouts: {connect: 1h30m}"), "connect", "no duration"),
    (with_pool("timeouts: {connect: 5}"), "connect", "must be text such as 250ms"),
    (with_pool("timeouts: {connect: .inf}"), "connect", "must be text such as 250ms"),
    (with_pool("health_check: {interval: 1ms}"), "interval", "is 1ms; must be at least 10ms"),
    # Sizes.
    (with_listener("limits: {max_body_bytes: 10MB}"), "max_body_bytes", "no size"),
    (with_listener("limits: {max_body_bytes: -1}"), "max_body_bytes", "no size"),
    (with_listener("limits: {max_body_bytes: 1.5}"), "max_body_bytes", "no size"),
    (with_listener("limits: {max_body_bytes: true}"), "max_body_bytes", "no size"),
    (with_listener("limits: {max_body_bytes: 999999999GiB}"), "max_body_bytes", "no size"),
    (with_listener("limits: {max_header_bytes: 1}"), "max_header_bytes", "at least 1024"),
    (with_listener("limits: {max_header_bytes: 1GiB}"), "max_header_bytes", "at most 1048576"),
    (with_listener("limits: {max_connections: 0}"), "max_connections", "at least 1"),
    # Names.
    (with_pool("").replace("name: app", "name: a b"), "name", "is no name"),
    (with_pool("").replace("name: app", "name: ''"), "name", "is no name"),
    (with_pool("").replace("name: app", "name: 5"), "name", "must be text, not a number"),
    (with_listener("name: a b"), "name", "no spaces"),
    # Networks.
    (with_listener("trusted_proxies: [10.0.0.1/8]"), "[0]", 'did you mean "10.0.0.0/8"?'),
    (with_listener("trusted_proxies: [everybody]"), "[0]", "is no network"),
    # Hosts and paths.
    (with_route("pool: app, host: a.*.b"), "host", "stands alone or before the first dot"),
    (with_route("pool: app, host: 'a.b:80'"), "host", "has a port"),
    (with_route("pool: app, host: größe.de"), "host", "xn--"),
    (with_route("pool: app, host: 'a b'"), "host", "is no host"),
    (with_route("pool: app, host: ''"), "host", "is no host"),
    (with_route("pool: app, path_prefix: api"), "path_prefix", 'write "/api"'),
    (with_route("pool: app, path_prefix: '/a?b'"), "path_prefix", "has a query"),
    (with_route("pool: app, path_prefix: '/a#b'"), "path_prefix", "has a fragment"),
    (with_route("pool: app, path_prefix: /a/../b"), "path_prefix", 'did you mean "/b"?'),
    (with_route("pool: app, path_prefix: //a"), "path_prefix", 'did you mean "/a"?'),
    (with_route("pool: app, path_prefix: /%61"), "path_prefix", 'did you mean "/a"?'),
    (with_route("pool: app, path_prefix: /%2f"), "path_prefix", "escaped separator"),
    (with_route("pool: app, path_prefix: /ü"), "path_prefix", "visible ASCII"),
    (with_pool("health_check: {path: health}"), "path", "write /health"),
    (with_pool('health_check: {path: "/a\\r\\nX: y"}'), "path", "write /health"),
    # Methods, fields, statuses.
    (with_route("pool: app, methods: [get]"), "methods[0]", 'did you mean "GET"?'),
    (with_route("pool: app, methods: ['A B']"), "methods[0]", "is no method"),
    (with_route("pool: app, headers: {Host: a}"), "headers", "matched by the key host"),
    (with_route("pool: app, headers: {'A b': a}"), "A b", "is no header name"),
    (with_route("pool: app, headers: {X-A: 1}"), "X-A", "put it in quotes"),
    (with_route("pool: app, headers: {X-A: b, x-a: c}"), "headers", "there twice"),
    (with_route("pool: app, request_headers: {set: {Host: a}}"), "Host", "preserve_host"),
    (with_route("pool: app, request_headers: {remove: [Host]}"), "remove[0]", "preserve_host"),
    (with_route("pool: app, request_headers: {set: {X: ' a'}}"), "X", "is no header value"),
    (with_route("pool: app, request_headers: {set: {X: é}}"), "X", "is no header value"),
    (with_route('pool: app, response_headers: {add: {X: "a\\nb"}}'), "X", "no header value"),
    (with_pool('health_check: {expected_status: "200-199"}'), "expected_status", "200-399"),
    (with_pool("health_check: {expected_status: 600}"), "expected_status", "100 to 599"),
    (with_pool("health_check: {expected_status: [200]}"), "expected_status", "not a list"),
    (with_pool("health_check: {expected_status: '200,,'}"), "expected_status", "no status"),
    # Redirects.
    (with_route("redirect: {to: /a, status: 200}"), "status", "write one of 301, 302"),
    (with_route("redirect: {to: //evil}"), "to", "https://evil"),
    (with_route("redirect: {to: 'javascript:x'}"), "to", "is no URL"),
    (with_route("redirect: {to: 'https://a@b/'}"), "to", "is no URL"),
    (with_route("redirect: {to: 'https://a\\b'}"), "to", "is no URL"),
    (with_route('redirect: {to: "/a\\r\\nSet-Cookie: x"}'), "to", "is no URL"),
    (with_route("redirect: {}"), "to", "is missing"),
    # Other types.
    (with_route("pool: app, websocket: yes"), "websocket", "must be true or false"),
    (with_route("pool: app, methods: GET"), "methods", "must be a list"),
    (with_listener("protocol: udp"), "protocol", "write one of http, tcp"),
    (with_listener("limits: null"), "limits", "write {}"),
    (with_listener("trusted_proxies: null"), "trusted_proxies", "write []"),
    (SMALLEST + "workers: none\n", "workers", "must be auto or a whole number"),
    (SMALLEST + "workers: 1025\n", "workers", "1 to 1024"),
    (SMALLEST + "logging: {level: verbose}\n", "level", "write one of debug, info"),
    (SMALLEST + "data_dir: ''\n", "data_dir", "is empty"),
    (SMALLEST + f"data_dir: {'a' * 5000}\n", "data_dir", "too long"),
    (with_route(f"pool: app, host: {'a.' * 200}b"), "host", "253 characters at most"),
    (SMALLEST + "admin: {username: 'a:b'}\n", "username", "no colon"),
    (SMALLEST + "admin: {username: ''}\n", "username", "is empty"),
    (SMALLEST + 'admin: {password: "a\\nb"}\n', "password", "control character"),
    (SMALLEST + f"admin: {{password: {'x' * 1025}}}\n", "password", "too long"),
    (with_backend("labels: {version: 1.10}"), "version", "put it in quotes"),
    (with_backend('labels: {zone: "a\\nb"}'), "zone", "control character"),
)  # fmt: skip


class Values(SynchronousTestCase):
    def test_that_are_wrong_are_refused_with_the_way_out(self) -> None:
        """C2: weights, ports, timeouts, sizes, hosts, paths, header fields."""
        for text, key, what in REFUSED:
            with self.subTest(text):
                error = self.assertRaises(ConfigError, loaded, text)
                [problem] = [p for p in error.problems if p.code != "advice"]
                self.assertIn(key, problem.path)
                self.assertIn(what, problem.message)
                self.assertGreater(problem.line, 0)

    def test_at_their_bounds_are_taken(self) -> None:
        for text in (
            with_backend("weight: 1000"),
            SMALLEST.replace("9001", "65535"),
            SMALLEST.replace("127.0.0.1:9001", '"[::1]:9001"'),
            SMALLEST.replace("127.0.0.1:9001", "unix:/run/app.sock"),
            with_pool("timeouts: {connect: 1ms, idle: 720h, total: 0s}"),
            with_pool('health_check: {expected_status: "200, 204,301-399"}'),
            with_pool("health_check: {expected_status: 204}"),
            with_listener("limits: {max_body_bytes: 0, max_header_bytes: 1KiB}"),
            with_listener("trusted_proxies: [10.0.0.0/8, 192.0.2.1, fd00::/8]"),
            with_route("pool: app, host: '[::1]', path_prefix: /a%20b/"),
            with_route("pool: app, methods: [PURGE, M-SEARCH]"),
            with_route("redirect: {to: 'https://[::1]:8443/a?b#c'}"),
        ):
            with self.subTest(text):
                self.assertEqual(loaded(text).warnings, ())

    def test_a_pool_may_wait_for_its_backends(self) -> None:
        """It is served, with 503, and pointed out: it may be meant, or forgotten."""
        found = loaded(SMALLEST.replace("- address: 127.0.0.1:9001", "[]"))
        self.assertEqual([pool.backends for pool in found.node.snapshot.pools], [()])
        [advice] = found.warnings
        self.assertEqual(advice.path, "pools[0].backends")
        self.assertIn("has none", advice.message)

    def test_framing_fields_cannot_be_edited(self) -> None:
        """Hop-by-hop and framing fields are the proxy's own (RFC 9110, section 7.6.1)."""
        for name in ("Content-Length", "transfer-encoding", "Connection", "TE", "Upgrade",
                     "Keep-Alive", "Proxy-Connection", "Trailer", "X-Request-ID"):  # fmt: skip
            for side in ("request_headers", "response_headers"):
                for edit in (f"set: {{{name}: x}}", f"add: {{{name}: x}}", f"remove: [{name}]"):
                    [line] = said(with_route(f"pool: app, {side}: {{{edit}}}"))
                    self.assertIn("cannot be edited", line)
