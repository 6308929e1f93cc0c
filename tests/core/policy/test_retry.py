from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.flow import exchange
from veloflux.core.flow.exchange import Failure
from veloflux.core.model.resilience import Retries
from veloflux.core.model.traffic import Limits
from veloflux.core.policy.retry import CAUSES, SPAN_S, Budget, again, backoff
from veloflux.core.wire.http1 import RequestHead, read_request

MODEL = Retries()
EXCHANGED = [f for f in vars(exchange).values() if isinstance(f, Failure)]
UNWANTED = Failure(502, "SH", "unwanted_status", "")


def head(method: str, lines: str = "") -> RequestHead:
    block = f"{method} / HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode()
    read = read_request(block, Limits(), None)
    assert read is not None
    return read


GET = head("GET")
POST = head("POST")
KEYED = head("POST", 'Idempotency-Key: "8e03978e"\r\n')


class AgainTests(SynchronousTestCase):
    def test_who_was_not_reached_is_gone_around(self) -> None:
        """Whatever is asked, with a body or without, and however many refuse."""
        post = head("POST", "Content-Length: 5\r\n")
        unreached = exchange.REFUSED, exchange.UNRESOLVED, exchange.TLS_FAILED, exchange.UNTRUSTED
        for failure in unreached:
            self.assertEqual(again(MODEL, failure, 1, post, False), "around")
            self.assertEqual(again(MODEL, failure, 99, post, False), "around")

    def test_a_client_waits_for_few_connect_timeouts(self) -> None:
        """X2: each takes seconds."""
        self.assertEqual(again(MODEL, exchange.CONNECT_TIMEOUT, 1, GET, False), "around")
        self.assertEqual(again(MODEL, exchange.CONNECT_TIMEOUT, 2, GET, False), "stop")
        patient = Retries(attempts=2)
        self.assertEqual(again(patient, exchange.CONNECT_TIMEOUT, 2, GET, False), "around")

    def test_what_may_be_done_twice_is_repeated(self) -> None:
        self.assertEqual(again(MODEL, exchange.RESET, 1, GET, True), "repeat")
        self.assertEqual(again(MODEL, exchange.RESET, 1, KEYED, True), "repeat")
        self.assertEqual(again(MODEL, exchange.RESET, 1, POST, True), "stop")
        self.assertEqual(again(MODEL, exchange.RESET, 1, head("PATCH"), True), "stop")

    def test_an_empty_key_is_none(self) -> None:
        self.assertEqual(
            again(MODEL, exchange.RESET, 1, head("POST", "Idempotency-Key: \r\n"), True), "stop"
        )

    def test_a_body_that_is_gone_cannot_be_sent_again(self) -> None:
        for lines in ("Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"):
            put = head("PUT", lines)
            self.assertEqual(again(MODEL, exchange.RESET, 1, put, True), "stop")
            self.assertEqual(again(MODEL, exchange.RESET, 1, put, True, has_body=True), "repeat")

    def test_attempts_bound_what_costs_a_backend_work(self) -> None:
        twice = Retries(attempts=2)
        decisions = [again(twice, exchange.RESET, n, GET, True) for n in (1, 2, 3)]
        self.assertEqual(decisions, ["repeat", "repeat", "stop"])

    def test_an_unwanted_status_is_like_a_reset(self) -> None:
        statuses = Retries(statuses=(503,), on=())
        self.assertEqual(again(statuses, UNWANTED, 1, GET, True), "repeat")
        self.assertEqual(again(statuses, UNWANTED, 1, POST, True), "stop")

    def test_nothing_is_tried_again_when_that_is_off(self) -> None:
        off = Retries(attempts=0, statuses=(503,))
        for failure in (*EXCHANGED, UNWANTED):
            self.assertEqual(again(off, failure, 1, GET, False), "stop")

    def test_only_named_causes_are(self) -> None:
        for failure in EXCHANGED:
            cause = CAUSES.get(failure.reason)
            if cause is None:
                continue
            self.assertNotEqual(again(Retries(on=(cause,)), failure, 1, GET, True), "stop")
            others = tuple(each for each in MODEL.on if each != cause)
            self.assertEqual(again(Retries(on=others), failure, 1, GET, False), "stop")

    def test_a_timeout_is_never_repeated(self) -> None:
        """X2: the backend may still be at work on it."""
        named = {f.reason for f in EXCHANGED if again(MODEL, f, 1, GET, True) != "stop"}
        unsent = {"refused", "unresolved", "connect_timeout", "tls", "tls_untrusted"}
        self.assertEqual(named - {"unwanted_status"}, unsent | {"reset"})

    def test_methods(self) -> None:
        for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "QUERY"):
            self.assertEqual(again(MODEL, exchange.RESET, 1, head(method), True), "repeat")
        for method in ("POST", "PATCH", "TRACE", "CONNECT", "get", "X"):
            self.assertEqual(again(MODEL, exchange.RESET, 1, head(method), True), "stop")
        self.assertEqual(again(MODEL, exchange.RESET, 1, KEYED, True), "repeat")


class BackoffTests(SynchronousTestCase):
    def test_the_bound_doubles(self) -> None:
        bounds = [backoff(n, 0.025, 0.25, lambda: 1.0) for n in range(1, 7)]
        self.assertEqual(bounds, [0.025, 0.05, 0.1, 0.2, 0.25, 0.25])

    def test_all_of_it_is_luck(self) -> None:
        self.assertEqual(backoff(3, 0.025, 0.25, lambda: 0.0), 0.0)
        self.assertEqual(backoff(3, 0.025, 0.25, lambda: 0.5), 0.05)

    @given(
        st.integers(1, 10**6), st.floats(0, 60), st.floats(0, 60), st.floats(0, 1, exclude_max=True)
    )
    def test_never_over_the_bound(self, n: int, base_s: float, max_s: float, luck: float) -> None:
        self.assertTrue(0 <= backoff(n, base_s, max_s, lambda: luck) <= max_s)


class BudgetTests(SynchronousTestCase):
    def granted(self, budget: Budget, now: float, tries: int = 1000) -> int:
        return sum(budget.withdraw(now) for _ in range(tries))

    def test_little_traffic_has_some(self) -> None:
        self.assertEqual(self.granted(Budget(20, 3), 0.0), 30)

    def test_a_share_of_the_requests(self) -> None:
        """X4"""
        budget = Budget(20, 0)
        self.assertEqual(self.granted(budget, 0.0), 0)
        for _ in range(100):
            budget.request(0.0)
        self.assertEqual(self.granted(budget, 0.5), 20)
        self.assertEqual(self.granted(budget, 9.0), 0)

    def test_requests_of_long_ago_do_not_count(self) -> None:
        budget = Budget(20, 0)
        for _ in range(100):
            budget.request(0.0)
        self.assertEqual(self.granted(budget, 11.0), 0)

    def test_it_comes_back(self) -> None:
        budget = Budget(0, 1)
        self.assertEqual(self.granted(budget, 0.0), 10)
        self.assertEqual(self.granted(budget, 9.9), 0)
        self.assertEqual(self.granted(budget, 11.0), 10)

    def test_new_rules_go_for_what_was_granted_already(self) -> None:
        budget = Budget(0, 1)
        self.assertEqual(self.granted(budget, 0.0), 10)
        budget.configure(0, 3)
        self.assertEqual(self.granted(budget, 1.0), 20)
        budget.configure(0, 1)
        self.assertEqual(self.granted(budget, 2.0), 0)

    def test_workers_share_the_least(self) -> None:
        granted = [self.granted(Budget(0, 3, workers), 0.0) for workers in (1, 2, 4, 30, 31)]
        self.assertEqual(granted, [30, 15, 7, 1, 0])

    @given(
        st.integers(0, 100),
        st.integers(0, 5),
        st.integers(1, 8),
        st.lists(st.tuples(st.floats(0, 4), st.integers(0, 30), st.integers(0, 30)), max_size=30),
    )
    def test_never_over_the_share_in_any_window(
        self, percent: int, least: int, workers: int, steps: list[tuple[float, int, int]]
    ) -> None:
        budget = Budget(percent, least, workers)
        now = 0.0
        requests, grants = Counter[float](), Counter[float]()
        for gap, asked, failed in steps:
            now += gap
            for _ in range(asked):
                budget.request(now)
            requests[now] += asked
            grants[now] += self.granted(budget, now, failed)
            if not grants[now]:
                continue
            seen = sum(n for at, n in requests.items() if now - at < SPAN_S)
            given = sum(n for at, n in grants.items() if now - at < SPAN_S)
            self.assertLessEqual(given, percent * seen / 100 + least * SPAN_S / workers + 1e-9)
