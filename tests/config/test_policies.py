"""C2: values of resilience and traffic policies, alone and together with others."""

from twisted.trial.unittest import SynchronousTestCase

from tests.config.files import SMALLEST, loaded, problems, with_listener, with_pool, with_route
from tests.config.test_checks import Checks
from veloflux.core.model.policies import Compression, RateLimit
from veloflux.core.model.resilience import CircuitBreaker, OutlierDetection, Retries, StickySessions
from veloflux.core.model.traffic import Pool, Route

# What is written, where it is wrong and what must be said about it.
REFUSED: tuple[tuple[str, str, str], ...] = (
    (with_pool("hash_on: host"), "hash_on", "write client_ip, path, header:Name or cookie:Name"),
    (with_pool("hash_on: 'header:'"), "hash_on", "tells no requests apart"),
    (with_pool("hash_on: 'header:X Y'"), "hash_on", "no header name"),
    (with_pool("hash_on: route"), "hash_on", "write client_ip, path"),
    (with_pool("sticky_sessions: {cookie: 'a;b'}"), "cookie", "is no name"),
    (with_pool("sticky_sessions: {ttl: 10ms}"), "ttl", "at least 1s"),
    (with_pool("outlier_detection: {interval: 1ms}"), "interval", "at least 100ms"),
    (with_pool("outlier_detection: {max_ejected_percent: 101}"), "percent", "at most 100"),
    (with_pool("outlier_detection: {success_rate_margin: 0}"), "margin", "at least 1"),
    (with_pool("panic_percent: -1"), "panic_percent", "at least 0"),
    (with_pool("retries: {on: [timeout]}"), "on[0]", "connect_failure, refused"),
    (with_pool("retries: {statuses: [404]}"), "statuses[0]", "500 to 599, or 429"),
    (with_pool("retries: {statuses: 503}"), "statuses", "must be a list"),
    (with_pool("retries: {attempts: 11}"), "attempts", "at most 10"),
    (with_pool("circuit_breaker: {probes: 0}"), "probes", "at least 1"),
    (with_pool("proxy_protocol: true"), "proxy_protocol", "write one of v1, v2"),
    (with_listener("deny: [10.0.0.1/8]"), "deny[0]", 'did you mean "10.0.0.0/8"?'),
    (with_route("pool: app, allow: [all]"), "allow[0]", "is no network"),
    (with_route("pool: app, rate_limit: {}"), "requests_per_second", "write requests_per_second:"),
    (with_route("pool: app, rate_limit: {requests_per_second: 0}"), "second", "at least 0.001"),
    (with_route("pool: app, rate_limit: {requests_per_second: -0.5}"), "second", "is -0.5; must"),
    (with_route("pool: app, rate_limit: {requests_per_second: 1e9}"), "second", "most 1000000"),
    (with_route("pool: app, rate_limit: {requests_per_second: .nan}"), "second", "such as 10 or"),
    (with_route("pool: app, rate_limit: {requests_per_second: 5/s}"), "second", "such as 10 or"),
    (with_route("pool: app, rate_limit: {requests_per_second: 1, burst: 0}"), "burst", "least 1"),
    (with_route("pool: app, rate_limit: {requests_per_second: 1, key: ip}"), "key", "client_ip"),
    (
        with_route("pool: app, rate_limit: {requests_per_second: 1, key: 'header:X-Real-IP'}"),
        "key",
        "trusted_proxies",
    ),
    (with_route("pool: app, cors: {origins: []}"), "origins", "at least 1"),
    (with_route("pool: app, cors: {origins: [example.org]}"), "origins[0]", "is no origin"),
    (with_route("pool: app, cors: {origins: ['https://A.b/']}"), "[0]", 'mean "https://a.b"?'),
    (with_route("pool: app, cors: {origins: ['https://a.b/c']}"), "origins[0]", "is no origin"),
    (with_route('pool: app, cors: {origins: ["https://a\\r\\nX: y"]}'), "[0]", "control character"),
    (with_route("pool: app, mirror: {}"), "pool", "is missing"),
    (with_route("pool: app, mirror: {pool: app, percent: 100.5}"), "percent", "at most 100"),
    (with_route("pool: app, mirror: {pool: app, percent: true}"), "percent", "must be a number"),
    (with_route("pool: app, compression: {codings: [br]}"), "codings[0]", "one of gzip, zstd"),
    (with_route("pool: app, compression: {codings: [gzip, gzip]}"), "codings", "each once"),
    (with_route("pool: app, compression: {codings: []}"), "codings", "at least 1"),
    (with_route("pool: app, compression: {types: [html]}"), "types[0]", "no media type"),
    (with_route("pool: app, compression: gzip"), "compression", "must be a mapping"),
)  # fmt: skip


def pool(keys: str) -> Pool:
    """What a pool with such a key becomes."""
    return loaded(with_pool(keys)).node.snapshot.pools[0]


def route(keys: str) -> Route:
    """What a route with such keys becomes."""
    return loaded(with_route(f"pool: app, {keys}")).node.snapshot.routes[0]


class Values(SynchronousTestCase):
    def test_that_are_wrong_are_refused_with_the_way_out(self) -> None:
        for text, key, what in REFUSED:
            with self.subTest(text):
                [problem] = [p for p in problems(text) if p.code != "advice"]
                self.assertIn(key, problem.path)
                self.assertIn(what, problem.message)
                self.assertGreater(problem.line, 0)

    def test_left_out_are_the_models_defaults(self) -> None:
        file = loaded(SMALLEST).node.snapshot
        self.assertEqual(file.pools[0], Pool("app", file.pools[0].backends))
        self.assertEqual(pool("retries: {}").retries, Retries())
        self.assertEqual(pool("outlier_detection: {}").outlier_detection, OutlierDetection())
        self.assertEqual(pool("circuit_breaker: {}").circuit_breaker, CircuitBreaker())
        self.assertEqual(pool("sticky_sessions: {}").sticky_sessions, StickySessions())
        self.assertEqual(route("compression: {}").compression, Compression())

    def test_may_be_a_word_where_a_section_needs_none(self) -> None:
        self.assertEqual(route("compression: true").compression, Compression())
        self.assertIsNone(route("compression: false").compression)
        self.assertEqual(pool("sticky_sessions: true").sticky_sessions, StickySessions())
        self.assertIsNone(pool("sticky_sessions: false").sticky_sessions)
        self.assertIsNone(pool("outlier_detection: null").outlier_detection)

    def test_may_be_fractions_of_requests(self) -> None:
        self.assertEqual(route("rate_limit: {requests_per_second: 0.5}").rate_limit, RateLimit(0.5))
        self.assertEqual(route("rate_limit: {requests_per_second: 5}").rate_limit, RateLimit(5.0))


class Together(Checks):
    def test_a_key_to_hash_wants_an_algorithm_that_hashes(self) -> None:
        self.warning(with_pool("hash_on: path"), "pools[0].hash_on", "no effect with round_robin")
        self.fine(with_pool("algorithm: ip_hash\n    hash_on: path"))

    def test_backups_alone_are_pointed_out(self) -> None:
        text = SMALLEST.replace("9001", "9001\n        backup: true")
        self.warning(text, "pools[0].backends", "are backups")

    def test_times_that_contradict_each_other_are_pointed_out(self) -> None:
        for keys, path, what in (
            ("timeouts: {total: 1s}", "timeouts.total", "shorter than connect"),
            ("outlier_detection: {base_ejection: 6m}", "outlier_detection.max_ejection", "shorter"),
            ("retries: {backoff: 1s}", "retries.backoff", "longer than max_backoff"),
            ("retries: {max_backoff: 1ms}", "retries.max_backoff", "longer than max_backoff"),
        ):
            self.warning(with_pool(keys), f"pools[0].{path}", what)
        self.fine(with_pool("timeouts: {total: 0s}"))

    def test_what_never_happens_is_pointed_out(self) -> None:
        for keys, path, what in (
            ("outlier_detection: {max_ejected_percent: 0}",
             "outlier_detection.max_ejected_percent", "no backend is ever ejected"),
            ("retries: {attempts: 0, statuses: [503]}", "retries.statuses", "no effect"),
            ("retries: {budget_percent: 0, min_per_second: 0}", "retries.budget_percent", "is 0"),
            ("circuit_breaker: {open: 1m}", "circuit_breaker.open", "without error_percent"),
        ):  # fmt: skip
            self.warning(with_pool(keys), f"pools[0].{path}", what)
        self.fine(with_pool("circuit_breaker: {open: 1m, error_percent: 50}"))
        self.fine(with_pool("retries: {attempts: 0, budget_percent: 20}"))

    def test_what_is_allowed_and_denied_is_pointed_out(self) -> None:
        for allow, deny, inside in (
            ("10.1.0.0/16", "10.0.0.0/8", True),
            ("10.1.0.0/16", "10.1.0.0/16", True),
            ("fd00::1", "fd00::/8", True),
            ("0.0.0.0/0", "10.0.0.0/8", False),
            ("10.0.0.0/8", "11.0.0.0/8", False),
            ("0.0.0.1", "'::/96'", False),
        ):
            keys = f"allow: [192.0.2.0/24, '{allow}'], deny: [{deny}]"
            for text, path in (
                (with_listener(keys), "listeners[0].allow[1]"),
                (with_route(f"pool: app, {keys}"), "routes[0].allow[1]"),
            ):
                if inside:
                    self.warning(text, path, "of deny, which wins")
                else:
                    self.fine(text)

    def test_a_mirror_needs_another_pool(self) -> None:
        text = with_route("pool: app, mirror: {pool: ap}")
        self.error(text, "routes[0].mirror.pool", 'did you mean "app"?')
        text = with_route("pool: app, mirror: {pool: app}")
        self.warning(text, "routes[0].mirror.pool", "gets these requests twice")
        text = with_route("pools: [{pool: app}], mirror: {pool: app}")
        self.warning(text, "routes[0].mirror.pool", "gets these requests twice")

    def test_credentials_are_for_origins_that_are_named(self) -> None:
        """A browser takes no such answer, and to echo every origin would trust them all."""
        text = with_route("pool: app, cors: {origins: [https://a, '*'], credentials: true}")
        self.error(text, "routes[0].cors.origins[1]", "name each")
        text = with_route(
            "pool: app, cors: {origins: [https://a], expose_headers: ['*'], credentials: true}"
        )
        self.error(text, "routes[0].cors.expose_headers[0]", "name each")
        self.fine(with_route("pool: app, cors: {origins: ['*']}"))

    def test_preflights_must_reach_their_route(self) -> None:
        text = with_route("pool: app, headers: {X-A: b}, cors: {origins: ['*']}")
        self.warning(text, "routes[0].headers", "without these headers")
        self.fine(with_route("pool: app, methods: [GET], cors: {origins: ['*']}"))

    def test_what_a_redirect_ignores_is_pointed_out(self) -> None:
        for keys in ("rate_limit: {requests_per_second: 1}", "compression: {}",
                     "mirror: {pool: app}"):  # fmt: skip
            key = keys.partition(":")[0]
            self.warning(with_route(f"redirect: {{to: /}}, {keys}"), f"routes[0].{key}", "redirect")
        self.fine(with_route("redirect: {to: /}, deny: [10.0.0.0/8]"))
        # A page may follow it only where it says so.
        self.fine(with_route("redirect: {to: /}, cors: {origins: ['*']}"))
