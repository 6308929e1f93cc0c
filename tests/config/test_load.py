"""C2: what a configuration means, and that whatever is wrong is said, all of it, with its line."""

import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.config.files import (
    FILE,
    SMALLEST,
    loaded,
    problems,
    said,
    with_backend,
    with_listener,
    with_pool,
    with_route,
)
from veloflux.config.examine import MAX_PROBLEMS
from veloflux.config.load import Loaded, load, read
from veloflux.config.problem import ConfigError
from veloflux.core.model.address import Address
from veloflux.core.model.node import Admin, Node
from veloflux.core.model.traffic import (
    AccessLog,
    Backend,
    HeaderEdits,
    Listener,
    Pool,
    Redirect,
    Route,
    Share,
    Snapshot,
)
from veloflux.core.model.traffic import (
    HealthCheck as Check,
)


class Meaning(SynchronousTestCase):
    def test_the_smallest_file_has_the_defaults_of_the_model(self) -> None:
        result = loaded(SMALLEST)
        self.assertEqual(result.warnings, ())
        self.assertEqual(
            result.node,
            Node(
                workers=len(os.sched_getaffinity(0)),
                data_dir="/srv/conf/var",
                admin=Admin(),
                metrics_address=None,
                log_level="info",
                snapshot=Snapshot(
                    version=1,
                    listeners=(Listener("127.0.0.1:8080", Address("127.0.0.1", 8080)),),
                    pools=(Pool("app", (Backend(Address("127.0.0.1", 9001)),)),),
                    routes=(Route("*/", pools=(Share("app"),)),),
                    access_log=AccessLog(),
                    own_addresses=(Address("127.0.0.1", 9090),),
                ),
            ),
        )

    def test_an_empty_health_check_has_the_defaults_of_the_model(self) -> None:
        [pool] = loaded(with_pool("health_check: {}")).node.snapshot.pools
        self.assertEqual(pool.health_check, Check())

    def test_routes_carry_what_was_written(self) -> None:
        [route] = loaded(
            with_route(
                'host: "*.Example.ORG", path_prefix: /api, methods: [GET], headers: {X-A: b},'
                "pools: [{pool: app, weight: 9}], strip_prefix: true, preserve_host: false,"
                "request_headers: {set: {X-B: c}, add: {X-C: d}, remove: [Cookie]},"
                "max_body_bytes: 1MiB, websocket: false, security_headers: true"
            )
        ).node.snapshot.routes
        self.assertEqual(
            route,
            Route(
                id="*.example.org/api",
                host="*.example.org",
                path_prefix="/api",
                methods=("GET",),
                headers=(("X-A", "b"),),
                pools=(Share("app", 9),),
                strip_prefix=True,
                preserve_host=False,
                request_headers=HeaderEdits((("X-B", "c"),), (("X-C", "d"),), ("Cookie",)),
                max_body_bytes=1 << 20,
                websocket=False,
                security_headers=True,
            ),
        )

    def test_redirects_take_no_pool(self) -> None:
        [route] = loaded(
            with_route('redirect: {to: "https://example.org/", status: 301}')
        ).node.snapshot.routes
        self.assertEqual(route.redirect, Redirect("https://example.org/", 301))

    def test_relative_paths_start_at_the_file(self) -> None:
        text = SMALLEST + "data_dir: ../state\nlogging: {access: {path: log/access.log}}\n"
        node = loaded(text).node
        self.assertEqual(node.data_dir, "/srv/state")
        access = node.snapshot.access_log
        assert access is not None
        self.assertEqual(access.path, "/srv/conf/log/access.log")

    def test_the_access_log_can_be_off(self) -> None:
        text = SMALLEST + "logging: {access: null}\n"
        self.assertIsNone(loaded(text).node.snapshot.access_log)

    def test_the_version_is_the_callers(self) -> None:
        self.assertEqual(read(SMALLEST.encode(), FILE, {}, 7).node.snapshot.version, 7)

    def test_other_names_of_algorithms_are_understood(self) -> None:
        for alias, name in (("least_connections", "least_conn"), ("wrr", "weighted_round_robin")):
            [pool] = loaded(with_pool(f"algorithm: {alias}")).node.snapshot.pools
            self.assertEqual(pool.algorithm, name)


class Variables(SynchronousTestCase):
    def test_become_numbers_where_numbers_are_asked_for(self) -> None:
        text = with_backend('weight: "${W}", backup: "${B:-true}"') + "workers: ${N:-3}\n"
        node = loaded(text, {"W": "7"}).node
        [backend] = node.snapshot.pools[0].backends
        self.assertEqual((node.workers, backend.weight, backend.backup), (3, 7, True))

    def test_stay_text_where_text_is_asked_for(self) -> None:
        """A password of digits is a password."""
        text = SMALLEST + "admin:\n  password: '${P}'\n  username: ${P}\n"
        admin = loaded(text, {"P": "0123"}).node.admin
        self.assertEqual((admin.username, admin.password), ("0123", "0123"))
        text = SMALLEST + "admin:\n  password: ${P:-}\n"
        self.assertEqual(loaded(text, {"P": "true"}).node.admin.password, "true")
        self.assertEqual(loaded(text).node.admin.password, "")

    def test_may_be_null_where_null_may_be(self) -> None:
        text = SMALLEST + "metrics:\n  address: ${M:-null}\n"
        self.assertIsNone(loaded(text).node.metrics_address)
        self.assertEqual(loaded(text, {"M": "[::1]:9"}).node.metrics_address, Address("::1", 9))

    def test_are_part_of_an_address(self) -> None:
        text = SMALLEST.replace("127.0.0.1:9001", "${HOST:-app}:${PORT}")
        [backend] = loaded(text, {"PORT": "81"}).node.snapshot.pools[0].backends
        self.assertEqual(backend.address, Address("app", 81))

    def test_need_quotes_within_brackets(self) -> None:
        [line] = said(with_backend("weight: ${W}"))
        self.assertIn('a variable needs quotes: "${NAME}"', line)

    def test_are_not_looked_for_in_keys(self) -> None:
        [line] = said(SMALLEST + "${KEY}: 1\n", {"KEY": "workers"})
        self.assertIn('no key is called "${KEY}" here', line)

    def test_unset_is_an_error_with_its_line(self) -> None:
        """C2: interpolation of unset env."""
        [line] = said(with_backend('weight: "${W}"'))
        self.assertEqual(
            line,
            "6: pools[0].backends[0].weight: the environment variable W is not set; set it, or "
            "write ${W:-default}",
        )

    def test_cannot_make_a_short_file_long(self) -> None:
        """C1: no input makes a hundred times its own size."""
        text = SMALLEST + "admin: {username: '" + "${A}" * 100 + "'}\n"
        [line] = said(text, {"A": "x" * 100_000})
        self.assertIn("more than 4 MiB", line)

    def test_that_are_not_utf8_are_refused(self) -> None:
        text = SMALLEST + "admin: {username: '${A}'}\n"
        self.assertIn("is not UTF-8", said(text, {"A": "\udcff"})[0])


class Errors(SynchronousTestCase):
    def test_are_said_all_at_once(self) -> None:
        """C2: every mistake of a file in one go, in the order of its lines."""
        text = """\
            workers: 0
            listners: []
            listeners:
              - address: 127.0.0.1:8080
                limits: {header_timeout: 5, max_headers: "5"}
              - address: 127.0.0.1:8081
                protocol: tcp
                pool: ap
            pools:
              - name: app
                name: web
                algorithm: leastcon
                slow_start: 5
                backends:
                  - address: 127.0.0.1:65536
                  - weight: -1
            routes:
              - pool: appp
              - {host: a}
            data_dir: ${NOPE}
            """
        found = problems(text)
        self.assertEqual(
            [(problem.line, problem.path) for problem in found],
            [
                (1, "workers"),
                (2, "listners"),
                (5, "listeners[0].limits.header_timeout"),
                (5, "listeners[0].limits.max_headers"),
                (8, "listeners[1].pool"),
                (11, ""),
                (12, "pools[0].algorithm"),
                (13, "pools[0].slow_start"),
                (15, "pools[0].backends[0].address"),
                (16, "pools[0].backends[1].address"),
                (16, "pools[0].backends[1].weight"),
                (18, "routes[0].pool"),
                (19, "routes[1]"),
                (20, "data_dir"),
            ],
        )

    def test_name_file_line_path_and_the_way_out(self) -> None:
        [problem] = problems(with_pool("algorithm: leastcon"))
        self.assertEqual(
            str(problem),
            f'{FILE}:5: pools[0].algorithm: no algorithm is called "leastcon"; did you mean '
            '"least_conn"?',
        )
        self.assertEqual(problem.column, 5)

    def test_suggest_the_key_that_was_meant(self) -> None:
        """Unknown keys are errors, at every level."""
        for text, key in (
            (SMALLEST.replace("routes:", "route:"), "routes"),
            (with_listener("protocoll: http"), "protocol"),
            (with_listener("limits: {max_header: 5}"), "max_headers"),
            (with_backend("wieght: 1"), "weight"),
            (with_pool("health_check: {intervall: 1s}"), "interval"),
            (with_pool("sticky_sessions: {cokie: x}"), "cookie"),
            (with_route("pool: app, path: /x"), "path_prefix"),
        ):
            with self.subTest(key):
                self.assertTrue(any(f'did you mean "{key}"?' in line for line in said(text)))

    def test_list_the_keys_when_none_is_near(self) -> None:
        [line] = said(with_route("pool: app, redirect: null, qqqq: 1"))
        self.assertIn("write one of id, host, path_prefix", line)

    def test_say_what_is_missing(self) -> None:
        [line] = said("pools: [{name: app, backends: [{weight: 1}]}]\nlisteners: [{address: a:1}]")
        self.assertIn("pools[0].backends[0].address: is missing; write address: 127", line)
        self.assertIn("listeners: is missing", said("workers: 1")[0])

    def test_never_show_a_password(self) -> None:
        for value in ("12345678", "[12345678]", '"\\u000012345678"', "{a: 12345678}"):
            for line in said(SMALLEST + f"admin: {{password: {value}}}\n"):
                self.assertNotIn("12345678", line)

    def test_never_show_the_value_of_a_header(self) -> None:
        text = with_route('pool: app, request_headers: {set: {Authorization: "secret\\r\\nX: y"}}')
        [line] = said(text)
        self.assertNotIn("secret", line)

    def test_stay_on_one_line_whatever_the_file_has(self) -> None:
        text = SMALLEST + '"a\\nforged: line\\e[31m": 1\nworkers: "x\\nforged"\n'
        for problem in problems(text):
            self.assertTrue(str(problem).isprintable(), repr(str(problem)))

    def test_are_cut_when_there_are_thousands(self) -> None:
        found = problems("{" + ",".join(f"k{i}: 1" for i in range(5000)) + "}")
        self.assertEqual(len(found), MAX_PROBLEMS + 1)
        self.assertIn("more problems than can be shown", str(found[-1]))

    def test_of_a_document_that_is_none(self) -> None:
        self.assertIn("is empty", said("")[0])
        self.assertIn("is empty", said("# nothing\n")[0])
        self.assertIn("is empty", said("~")[0] + said("---\n")[0])
        self.assertIn("must be a mapping", said("- a\n")[0])
        self.assertIn("must be a mapping", said("text")[0])


class Files(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.write_text(SMALLEST)

    def refused(self, path: str, what: str) -> None:
        [problem] = self.assertRaises(ConfigError, load, path, {}).problems
        self.assertEqual((problem.line, problem.code), (0, "file"))
        self.assertTrue(str(problem).startswith(f"{path}: "))
        self.assertIn(what, problem.message)

    def test_are_read(self) -> None:
        self.assertIsInstance(load(str(self.path), {}), Loaded)

    def test_may_be_reached_by_a_link(self) -> None:
        """C2: symlink; a mounted configuration is one."""
        link = self.path.with_suffix(".link")
        link.symlink_to(self.path.absolute())
        self.assertIsInstance(load(str(link), {}), Loaded)

    def test_that_are_not_there_are_an_error(self) -> None:
        """C2: unreadable file."""
        self.refused(str(self.path) + "x", "No such file or directory")
        self.refused("a\0b", "cannot be read")

    def test_that_may_not_be_read_are_an_error(self) -> None:
        """C2: unreadable file. Root may read all, so a loop of links stands in for it as well."""
        loop = self.path.with_suffix(".loop")
        loop.symlink_to(loop.name)
        self.refused(str(loop), "symbolic links")

    def test_that_are_no_files_are_an_error_at_once(self) -> None:
        fifo = self.path.with_suffix(".fifo")
        os.mkfifo(fifo)
        self.refused(str(fifo), "is not a file")
        self.refused(str(self.path.parent), "Is a directory")

    def test_that_are_too_large_are_an_error(self) -> None:
        """C1: 100 MB, of which no more is read than the limit."""
        os.truncate(self.path, 100 << 20)
        [problem] = self.assertRaises(ConfigError, load, str(self.path), {}).problems
        self.assertIn("larger than 4 MiB", problem.message)

    def test_with_a_password_for_all_to_read_are_warned_of(self) -> None:
        """C2: secrets in a world-readable file."""
        literal = SMALLEST + "admin: {password: swordfish}\n"
        default = SMALLEST + "admin: {password: '${P:-swordfish}'}\n"
        variable = SMALLEST + "admin: {password: '${P}'}\n"
        for text, environ, mode, expected in (
            (literal, {}, 0o644, 1),
            (literal, {}, 0o640, 0),
            (default, {}, 0o644, 1),
            (default, {"P": "x"}, 0o644, 0),
            (variable, {"P": "x"}, 0o644, 0),
            (SMALLEST, {}, 0o644, 0),
        ):
            self.path.write_text(text)
            self.path.chmod(mode)
            warnings = load(str(self.path), environ).warnings
            self.assertEqual(len(warnings), expected, (text, environ, oct(mode)))
            for warning in warnings:
                self.assertEqual(warning.path, "admin.password")
                self.assertNotIn("swordfish", str(warning))

    def test_are_left_as_they_were(self) -> None:
        before = self.path.stat()
        load(str(self.path), {})
        after = self.path.stat()
        self.assertEqual(stat.S_IMODE(before.st_mode), stat.S_IMODE(after.st_mode))
        self.assertEqual(before.st_mtime_ns, after.st_mtime_ns)


class Scale(SynchronousTestCase):
    def test_ten_thousand_routes_are_taken(self) -> None:
        """C4: as many as one daemon is to serve."""
        lines = "".join(
            f"  - {{host: h{i % 1000}.example.org, path_prefix: /p{i}, pool: app, "
            f"methods: [GET, POST], request_headers: {{set: {{X-Route: r{i}}}}}}}\n"
            for i in range(10_000)
        )
        result = loaded(SMALLEST + lines)
        self.assertEqual(len(result.node.snapshot.routes), 10_001)
        self.assertEqual(result.warnings, ())
