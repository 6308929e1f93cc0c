"""What this version cannot do is refused by name, and nothing else is."""

from twisted.trial.unittest import SynchronousTestCase

from tests.config.files import (
    SMALLEST,
    loaded,
    problems,
    with_backend,
    with_listener,
    with_pool,
    with_route,
)
from veloflux.config.explain import section_at
from veloflux.config.pools import ALGORITHMS, ALIASES
from veloflux.config.unavailable import AVAILABLE_ALGORITHMS, UNAVAILABLE

_TLS = "{certificates: [{cert: a.pem, key: a.key}]}"

# One for each row of the table.
ASKED: tuple[tuple[str, str], ...] = (
    ("authority", SMALLEST + "authority: store\n"),
    ("admin.tls", SMALLEST + f"admin: {{tls: {_TLS}}}\n"),
    ("admin.cors_origins", SMALLEST + "admin: {cors_origins: ['https://a']}\n"),
    ("listeners[0].tls", with_listener(f"tls: {_TLS}")),
    ("listeners[0].proxy_protocol", with_listener("proxy_protocol: true")),
    ("pools[0].algorithm", with_pool("algorithm: adaptive")),
    ("pools[0].hash_on", with_pool("hash_on: client_ip")),
    ("pools[0].sticky_sessions", with_pool("sticky_sessions: {cookie: a}")),
    ("pools[0].backends[0].max_connections", with_backend("max_connections: 5")),
    ("pools[0].backends[0].tls", with_backend("tls: {}")),
    ("pools[0].outlier_detection", with_pool("outlier_detection: {}")),
    ("pools[0].slow_start", with_pool("slow_start: 1s")),
    ("pools[0].timeouts.queue", with_pool("timeouts: {queue: 2s}")),
    ("pools[0].retries.attempts", with_pool("retries: {attempts: 2}")),
    ("pools[0].retries.budget_percent", with_pool("retries: {budget_percent: 20}")),
    ("pools[0].retries.min_per_second", with_pool("retries: {min_per_second: 3}")),
    ("pools[0].retries.on", with_pool("retries: {on: [reset_before_response]}")),
    ("pools[0].circuit_breaker", with_pool("circuit_breaker: {}")),
    ("routes[0].rate_limit", with_route("pool: app, rate_limit: {requests_per_second: 5}")),
    ("routes[0].cors", with_route("pool: app, cors: {origins: ['*']}")),
)


class Unavailable(SynchronousTestCase):
    def test_is_refused_by_name(self) -> None:
        for path, text in ASKED:
            with self.subTest(path):
                [problem] = problems(text)
                self.assertEqual((problem.path, problem.code), (path, "unavailable"))
                self.assertIn("is not available in this version; ", problem.message)
                self.assertIn(path.rpartition(".")[2], problem.message)
                self.assertGreater(problem.line, 0)

    def test_every_row_is_tried(self) -> None:
        tried = [path.replace("[0]", ".*") for path, _ in ASKED]
        self.assertEqual(tried, [".".join(row.path) for row in UNAVAILABLE])

    def test_every_row_is_a_key_of_the_schema(self) -> None:
        for row in UNAVAILABLE:
            *parents, key = (part for part in row.path if part != "*")
            section = section_at(tuple(parents))
            assert section is not None, row.path
            self.assertIn(key, section.model_fields)

    def test_what_is_the_case_anyway_may_be_written(self) -> None:
        for text in (
            SMALLEST + "authority: file\nadmin: {tls: null, cors_origins: []}\n",
            with_listener("tls: null, proxy_protocol: false"),
            with_pool("sticky_sessions: false"),
            with_pool("outlier_detection: null"),
            with_pool("circuit_breaker: null"),
            with_pool("slow_start: 0s"),
            with_pool("slow_start: 0ms"),
            with_pool("retries: {}"),
            with_pool("retries: {attempts: 1, on: [refused, connect_failure]}"),
            with_backend("max_connections: 0, tls: null"),
            with_backend("max_connections: '${MAX:-0}'"),
            with_route("pool: app, rate_limit: null, cors: null"),
        ):
            with self.subTest(text):
                self.assertEqual(loaded(text).warnings, ())

    def test_fewer_retries_than_are_made_are_refused_too(self) -> None:
        """A narrower wish would be ignored as much as a wider one."""
        for keys in ("attempts: 0", "on: []", "on: [refused]"):
            [problem] = problems(with_pool(f"retries: {{{keys}}}"))
            self.assertEqual(problem.code, "unavailable")

    def test_each_algorithm_is_available_or_refused_by_name(self) -> None:
        for name in (*ALGORITHMS, "p2c"):
            found = problems(with_pool(f"algorithm: {name}"))
            if ALIASES.get(name, name) in AVAILABLE_ALGORITHMS:
                self.assertEqual(found, ())
            else:
                self.assertIn(f'algorithm: "{name}" is not available', found[0].message)

    def test_is_validated_all_the_same(self) -> None:
        found = problems(with_listener("tls: {certificates: [], min_version: '1.1'}"))
        self.assertEqual(
            [(problem.path, problem.code) for problem in found],
            [
                ("listeners[0].tls", "unavailable"),
                ("listeners[0].tls.certificates", "value"),
                ("listeners[0].tls.min_version", "value"),
            ],
        )
