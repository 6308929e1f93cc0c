from twisted.trial.unittest import SynchronousTestCase

from tests.control.api.client import SIGNED_IN, Api, Connection, Response, parse
from veloflux.core.model.address import Address
from veloflux.core.model.node import Admin


class HostTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = Api(Admin(Address("admin.example.org", 9090), password="x"))

    def raw(self, head: bytes) -> Response:
        return parse(Connection(self.api.site).send(head))

    def test_serves_addresses_and_its_own_names(self) -> None:
        for host in (
            "127.0.0.1:9090", "[::1]:9090", "192.0.2.7", "localhost", "LocalHost.:9090",
            "admin.example.org:9090", "proxy-1",
        ):  # fmt: skip
            self.assertEqual(self.api.call("GET", "/", {"Host": host}).status, 200, host)

    def test_refuses_a_name_that_was_bound_to_it_by_somebody_else(self) -> None:
        for host in (
            "evil.example", "evil.example:9090", "127.0.0.1.evil.example", "localhost.evil.example",
            "", "a@localhost", "[evil]", "localhost:999999", "local\xffhost",
        ):  # fmt: skip
            answer = self.api.call("GET", "/healthz", {"Host": host} | SIGNED_IN)
            self.assertEqual(answer.status, 421, host)
            self.assertEqual(answer.headers["content-type"], "application/problem+json")

    def test_refuses_two_hosts_or_none(self) -> None:
        two = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"
        none = b"GET / HTTP/1.1\r\n\r\n"
        for head in (two, none):
            self.assertEqual(self.raw(head).status, 400)

    def test_a_host_is_optional_in_http_1_0(self) -> None:
        self.assertEqual(self.raw(b"GET / HTTP/1.0\r\n\r\n").status, 200)

    def test_a_unix_socket_is_served_under_any_host(self) -> None:
        self.api = Api(Admin(Address(path="/run/admin.sock"), password="x"))
        self.assertEqual(self.api.call("GET", "/", {"Host": "admin"}).status, 200)


class EveryAnswerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = Api()

    def answers(self) -> dict[int, Response]:
        return {
            200: self.api.call("GET", "/health"),
            204: self.api.call("OPTIONS", "/health"),
            400: self.api.call("GET", "/%ff"),
            401: self.api.call("GET", "/metrics"),
            404: self.api.call("GET", "/api/unknown"),
            405: self.api.call("POST", "/health"),
            421: self.api.call("GET", "/health", {"Host": "evil.example"}),
        }

    def test_has_the_status_that_it_should(self) -> None:
        for status, answer in self.answers().items():
            self.assertEqual(answer.status, status)

    def test_has_the_security_headers(self) -> None:
        for status, answer in self.answers().items():
            with self.subTest(status=status):
                self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
                self.assertEqual(answer.headers["x-frame-options"], "DENY")
                self.assertIn("default-src 'none'", answer.headers["content-security-policy"])
                self.assertEqual(answer.headers["referrer-policy"], "no-referrer")
                self.assertEqual(answer.headers["cache-control"], "no-store")
                self.assertEqual(answer.headers["server"], "VeloFlux")

    def test_has_an_id_of_its_own(self) -> None:
        ids = [answer.headers["x-request-id"] for answer in self.answers().values()]
        self.assertEqual(len(set(ids)), len(ids))

    def test_an_error_is_a_problem_and_never_html(self) -> None:
        for status, answer in self.answers().items():
            if status < 400:
                continue
            with self.subTest(status=status):
                self.assertEqual(answer.headers["content-type"], "application/problem+json")
                problem = answer.json()
                self.assertEqual(problem["status"], status)
                self.assertEqual(problem["code"], status)
                self.assertEqual(problem["instance"], answer.headers["x-request-id"])
                self.assertEqual(problem["message"], problem["detail"])
                self.assertEqual(problem["error"], problem["title"])
                self.assertEqual((problem["type"], problem["errors"]), ("about:blank", []))


class RequestIdTests(SynchronousTestCase):
    def test_a_well_formed_id_is_taken(self) -> None:
        answer = Api().call("GET", "/", {"X-Request-ID": "trace-1:a.b_c"})
        self.assertEqual(answer.headers["x-request-id"], "trace-1:a.b_c")

    def test_another_is_replaced(self) -> None:
        for given in ("", "a b", "<script>", "x" * 129, 'a"b', "a\xe9"):
            answer = Api().call("GET", "/", {"X-Request-ID": given})
            self.assertRegex(answer.headers["x-request-id"], r"\A[0-9a-f]{32}\Z")


class PathTests(SynchronousTestCase):
    def test_no_other_spelling_of_a_path_is_known(self) -> None:
        api = Api()
        for path in (
            "//health", "/health/", "/Health", "/api//health", "/api/../health", "/api%2fhealth",
            "/api/v2/health", "/metrics;x", "/health%00", "http://127.0.0.1/health",
        ):  # fmt: skip
            answer = api.call("GET", path, SIGNED_IN)
            self.assertEqual(answer.status, 404, path)
            self.assertNotIn("location", answer.headers)

    def test_a_query_changes_nothing(self) -> None:
        self.assertEqual(Api().call("GET", "/health?a=1&a=%ff").status, 200)

    def test_the_server_as_a_whole_has_options_only(self) -> None:
        self.assertEqual(Api().call("OPTIONS", "*").status, 204)
        self.assertEqual(Api().call("GET", "*").status, 404)
