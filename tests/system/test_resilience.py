"""Backends that fail in every way before the real daemon: who asks again, who is left out, who
waits, who is refused, and that all of it ends when they are well."""

import contextlib
import http.client
import os
import signal
import socket
import threading
from collections import Counter
from typing import Any, NamedTuple

from tests.support.case import Running, SystemTestCase, ask, reset, settings, text
from tests.support.daemon import PATIENCE_S, Daemon, wait_for
from tests.support.server import read_head

DETECTION = {"consecutive_failures": 3, "base_ejection": "500ms", "max_ejection": "1s"}
# Long enough to see that somebody is out.
LONG = DETECTION | {"base_ejection": "60s", "max_ejection": "60s"}
EJECTIONS = "veloflux_upstream_ejections_total"
RETRIES = "veloflux_upstream_retries_total"


class Answer(NamedTuple):
    """What a client got."""

    status: int
    body: str
    fields: http.client.HTTPMessage


class Unruly:
    """Does with each request as `does` says: answers with that status and its name, resets the
    connection, or says nothing. `asked` counts the requests by method, `bodies` and `cookies` are
    what came."""

    def __init__(self, case: SystemTestCase, name: str, does: int | str = 200) -> None:
        self.name = name
        self.does = does
        self.asked: Counter[str] = Counter()
        self.bodies: list[bytes] = []
        self.cookies: list[str] = []
        self._over = threading.Event()
        case.addCleanup(self._over.set)
        self.address = case.server(self._serve).address

    def _serve(self, connection: socket.socket) -> None:
        while True:
            head, _, body = read_head(connection).partition(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            fields = {n.lower(): v for n, _, v in (line.partition(": ") for line in lines[1:])}
            while len(body) < int(fields.get("content-length", 0)):
                body += connection.recv(65536)
            self.asked[lines[0].split()[0]] += 1
            self.bodies.append(body)
            self.cookies.append(fields.get("cookie", ""))
            if self.does == "reset":
                reset(connection)
                return
            if self.does == "silence":
                self._over.wait(60)
                return
            connection.sendall(
                b"HTTP/1.1 %d So\r\nContent-Length: %d\r\n\r\n%b"
                % (int(self.does), len(self.name), self.name.encode())
            )


class ResilienceCase(SystemTestCase):
    def unruly(self, *does: int | str) -> list[Unruly]:
        return [Unruly(self, name, each) for name, each in zip("abcdef", does, strict=False)]

    def proxy(self, backends: list[Any], **changes: Any) -> Daemon:
        return self.daemon(settings(*(each.address for each in backends), **changes))

    def ask(self, daemon: Daemon, method: str = "GET", path: str = "/", **more: Any) -> Answer:
        """Ask once, on a connection of its own."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=PATIENCE_S)
        ) as client:
            client.request(method, path, **more)
            response = client.getresponse()
            return Answer(response.status, response.read().decode(), response.headers)

    def statuses(self, daemon: Daemon, count: int) -> Counter[int]:
        client = self.client(daemon.port())
        return Counter(ask(client)[0] for _ in range(count))

    def names(self, daemon: Daemon, count: int = 30) -> set[str]:
        client = self.client(daemon.port())
        return {ask(client)[1] for _ in range(count)}


class DownTests(ResilienceCase):
    def test_nobody_is_there_and_then_somebody_is(self) -> None:
        """X1"""
        one, two = self.backend("one"), self.backend("two")
        daemon = self.proxy([one, two], workers=2)
        one.close()
        two.close()
        for _ in range(20):
            answer = self.ask(daemon, "POST", body=b"x")
            self.assertEqual(answer.status, 503)
            self.assertGreaterEqual(int(answer.fields["Retry-After"]), 1)
        self.backend("again", port=two.port)
        wait_for("an answer", lambda: self.get(daemon.port()) == (200, "again"))

    def test_one_left_of_three_serves_everything(self) -> None:
        """X1"""
        three = [self.backend(name) for name in ("one", "two", "three")]
        daemon = self.proxy(three)
        for each in three[:2]:
            each.close()
        self.assertEqual(self.statuses(daemon, 50), {200: 50})

    def test_one_that_comes_and_goes_costs_no_request(self) -> None:
        """X1: flapping."""
        one, two = self.backend("one"), self.backend("two")
        daemon = self.proxy([one, two], pool={"outlier_detection": DETECTION})
        for _ in range(3):
            self.assertEqual(self.statuses(daemon, 10), {200: 10})
            one.close()
            self.assertEqual(self.statuses(daemon, 10), {200: 10})
            one = self.backend("one", port=one.port)
        wait_for("its return", lambda: "one" in self.names(daemon))


class OutlierTests(ResilienceCase):
    def test_one_of_three_that_fails_is_out_and_comes_back(self) -> None:
        three = self.unruly(500, 200, 200)
        daemon = self.proxy(three, pool={"outlier_detection": DETECTION})
        found = self.statuses(daemon, 60)
        self.assertTrue(3 <= found[500] < 20 and found[200] == 60 - found[500], found)
        reason = {"backend": three[0].address, "reason": "consecutive_failures"}
        wait_for("its count", lambda: self.metrics(daemon).sum(EJECTIONS, **reason))
        three[0].does = 200
        wait_for("its return", lambda: self.names(daemon) == set("abc"))

    def test_all_workers_leave_it_out(self) -> None:
        three = self.unruly(500, 200, 200)
        daemon = self.proxy(three, pool={"outlier_detection": LONG}, workers=2)
        wait_for(
            "its ejection",
            lambda: {self.ask(daemon).body for _ in range(30)} == {"b", "c"},
        )
        asked = three[0].asked["GET"]
        self.assertEqual({self.ask(daemon).status for _ in range(30)}, {200})
        self.assertEqual(three[0].asked["GET"], asked)

    def test_a_failure_now_and_then_is_no_row_but_a_bad_rate(self) -> None:
        one, two = self.unruly(200, 200)
        model = LONG | {"interval": "500ms", "consecutive_failures": 1000}
        daemon = self.proxy([one, two], pool={"outlier_detection": model})
        client = self.client(daemon.port())

        def is_out() -> bool:
            for turn in range(100):
                one.does = 500 if turn % 4 < 2 else 200
                ask(client)
            page = self.metrics(daemon)
            return page.sum(EJECTIONS, backend=one.address, reason="success_rate") == 1

        wait_for("its ejection", is_out)
        self.assertEqual(self.names(daemon), {"b"})

    def test_what_befalls_all_leaves_enough(self) -> None:
        """X3: half of them are out at most, and the answers are still the backends'."""
        four = self.unruly(500, 500, 500, 500)
        model = LONG | {"interval": "500ms"}
        daemon = self.proxy(four, pool={"outlier_detection": model})
        self.assertEqual(self.statuses(daemon, 200), {500: 200})
        page = self.wait_for_metric(daemon, 200, "veloflux_upstream_requests_total")
        self.assertLessEqual(page.sum(EJECTIONS), 2)
        for each in four:
            each.does = 200
        self.assertEqual(self.statuses(daemon, 20), {200: 20})

    def test_one_that_is_silent_is_out(self) -> None:
        """X2: what it was asked is not asked again."""
        one, two = self.unruly("silence", 200)
        daemon = self.proxy(
            [one, two], pool={"outlier_detection": LONG}, timeouts={"first_byte": "200ms"}
        )
        found = self.statuses(daemon, 40)
        self.assertTrue(3 <= found[504] < 10 and found[200] == 40 - found[504], found)
        self.assertEqual(one.asked, {"GET": found[504]})

    def test_a_client_cannot_eject_with_what_is_its_own_doing(self) -> None:
        one, two = self.unruly(501, 404)
        daemon = self.proxy([one, two], pool={"outlier_detection": LONG})
        self.assertEqual(self.statuses(daemon, 20), {501: 10, 404: 10})
        self.assertEqual(self.names(daemon), {"a", "b"})


class RetryTests(ResilienceCase):
    def proxy(self, backends: list[Any], **changes: Any) -> Daemon:
        """Without ejections, which would hide the failures."""
        pool = {"outlier_detection": None, **changes.pop("pool", {})}
        return super().proxy(backends, pool=pool, **changes)

    def test_what_may_be_repeated_is_asked_of_another(self) -> None:
        one, two = self.unruly("reset", 200)
        daemon = self.proxy([one, two])
        for method in ("GET", "HEAD", "OPTIONS", "DELETE"):
            answers = {self.ask(daemon, method).status for _ in range(4)}
            self.assertEqual(answers, {200}, method)
            self.assertGreater(one.asked[method], 0)
        self.wait_for_metric(daemon, sum(one.asked.values()), RETRIES, reason="reset")

    def test_what_may_not_is_not(self) -> None:
        """X2"""
        one, two = self.unruly("reset", 200)
        daemon = self.proxy([one, two])
        answers = Counter(self.ask(daemon, "POST", body=b"once").status for _ in range(8))
        self.assertEqual(answers, {502: 4, 200: 4})
        self.assertEqual(one.asked["POST"] + two.asked["POST"], 8)

    def test_a_key_makes_a_post_repeatable_with_its_body(self) -> None:
        one, two = self.unruly("reset", 200)
        daemon = self.proxy([one, two])
        key = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
        for number in range(8):
            body = b"order %d" % number
            answer = self.ask(daemon, "POST", body=body, headers=key)
            self.assertEqual((answer.status, answer.body), (200, "b"))
            self.assertEqual(two.bodies[-1], body)
        self.assertGreater(one.asked["POST"], 0)

    def test_a_status_that_counts_as_failure(self) -> None:
        one, two = self.unruly(503, 200)
        daemon = self.proxy([one, two], pool={"retries": {"statuses": [503]}})
        self.assertEqual(self.statuses(daemon, 10), {200: 10})
        answers = Counter(self.ask(daemon, "POST", body=b"x").status for _ in range(8))
        self.assertEqual(answers, {200: 4, 503: 4})

    def test_the_last_answer_is_passed_on_when_all_fail(self) -> None:
        two = self.unruly(503, 503)
        daemon = self.proxy(two, pool={"retries": {"statuses": [503]}})
        answer = self.ask(daemon)
        self.assertEqual(answer.status, 503)
        self.assertIn(answer.body, ("a", "b"))
        self.assertEqual(two[0].asked["GET"] + two[1].asked["GET"], 2)

    def test_a_storm_is_bounded(self) -> None:
        """X4: all fail, and each request could be asked eleven times."""
        two = self.unruly("reset", "reset")
        retries = {"attempts": 10, "budget_percent": 20, "min_per_second": 0, "backoff": "1ms"}
        daemon = self.proxy(two, pool={"retries": retries})
        self.assertEqual(self.statuses(daemon, 100), {502: 100})
        asked = sum(each.asked["GET"] for each in two)
        self.assertLessEqual(asked, 125)
        page = self.wait_for_metric(daemon, asked - 100, RETRIES)
        self.assertGreater(page.sum("veloflux_upstream_retry_budget_exhausted_total"), 0)

    def test_nothing_is_repeated_when_that_is_off(self) -> None:
        one, two = self.unruly("reset", "reset")
        daemon = self.proxy([one, two], pool={"retries": {"attempts": 0}})
        self.assertEqual(self.statuses(daemon, 10), {502: 10})
        self.assertEqual(one.asked["GET"] + two.asked["GET"], 10)

    def test_one_deadline_for_all_attempts(self) -> None:
        one, two = self.unruly("silence", "reset")
        retries = {"attempts": 10, "min_per_second": 1000}
        daemon = self.proxy([one, two], pool={"retries": retries}, timeouts={"total": "500ms"})
        for _ in range(2):
            answer = self.ask(daemon)
            self.assertEqual(answer.status, 504)
            self.assertIn("took too long", answer.body)
        self.assertEqual(one.asked["GET"], 2)


class QueueTests(ResilienceCase):
    def bounded(self, **changes: Any) -> tuple[Any, Daemon]:
        """A backend that takes one request at a time, before a daemon with so many workers."""
        backend = self.backend()
        one = {"address": backend.address, "max_connections": 1}
        pool = {"backends": [one], **changes.pop("pool", {})}
        return backend, self.daemon(settings(pool=pool, **changes))

    def hold(self, backend: Any, daemon: Daemon) -> Running:
        """A request that keeps the backend busy until it is released."""
        running = Running(lambda: self.ask(daemon, path="/held"))
        self.assertTrue(backend.arrived.acquire(timeout=PATIENCE_S))
        return running

    def waiting(self, daemon: Daemon, count: int) -> None:
        self.wait_for_metric(daemon, count, "veloflux_upstream_queue_length")

    def test_requests_wait_for_their_turn(self) -> None:
        backend, daemon = self.bounded(timeouts={"queue": "30s"})
        held = self.hold(backend, daemon)
        more = [Running(lambda: self.ask(daemon)) for _ in range(5)]
        self.waiting(daemon, 5)
        self.assertEqual(backend.paths, {"/held": 1})
        backend.release.set()
        self.assertEqual([each.result().status for each in (held, *more)], [200] * 6)

    def test_nobody_waits_for_long(self) -> None:
        backend, daemon = self.bounded(timeouts={"queue": "100ms"})
        held = self.hold(backend, daemon)
        answer = self.ask(daemon)
        self.assertEqual(answer.status, 503)
        self.assertIn("Retry-After", answer.fields)
        self.assertEqual(backend.paths, {"/held": 1})
        backend.release.set()
        self.assertEqual(held.result().status, 200)
        self.assertEqual(self.ask(daemon).status, 200)

    def test_only_so_many_wait(self) -> None:
        backend, daemon = self.bounded(
            pool={"circuit_breaker": {"max_pending": 2}}, timeouts={"queue": "30s"}
        )
        held = self.hold(backend, daemon)
        more = [Running(lambda: self.ask(daemon)) for _ in range(2)]
        self.waiting(daemon, 2)
        self.assertEqual(self.ask(daemon).status, 503)
        backend.release.set()
        self.assertEqual([each.result().status for each in (held, *more)], [200] * 3)

    def test_only_so_many_are_under_way(self) -> None:
        backend = self.backend()
        daemon = self.proxy([backend], pool={"circuit_breaker": {"max_requests": 2}})
        held = [self.hold(backend, daemon) for _ in range(2)]
        self.assertEqual(self.ask(daemon).status, 503)
        backend.release.set()
        self.assertEqual([each.result().status for each in held], [200] * 2)
        wait_for("room", lambda: self.ask(daemon).status == 200)

    def test_who_leaves_the_queue_costs_the_backend_nothing(self) -> None:
        """L7"""
        backend, daemon = self.bounded(timeouts={"queue": "30s"})
        held = self.hold(backend, daemon)
        client = self.connect(daemon.port())
        client.sendall(b"GET /gone HTTP/1.1\r\nHost: a\r\n\r\n")
        self.waiting(daemon, 1)
        reset(client)
        self.waiting(daemon, 0)
        backend.release.set()
        self.assertEqual(held.result().status, 200)
        self.assertEqual(self.ask(daemon).status, 200)
        self.assertNotIn("/gone", backend.paths)

    def test_the_bound_is_for_all_workers(self) -> None:
        backend, daemon = self.bounded(timeouts={"queue": "30s"}, workers=3)
        held = self.hold(backend, daemon)
        more = [Running(lambda: self.ask(daemon)) for _ in range(12)]
        self.waiting(daemon, 12)
        self.assertEqual(backend.paths, {"/held": 1})
        backend.release.set()
        self.assertEqual([each.result().status for each in (held, *more)], [200] * 13)


class StickyTests(ResilienceCase):
    STICKY = {"sticky_sessions": {"cookie": "vf", "ttl": "1h"}}

    def first(self, daemon: Daemon) -> tuple[str, str]:
        """Come without a cookie: whom it got, and the cookie it got."""
        answer = self.ask(daemon)
        line = answer.fields["Set-Cookie"]
        for part in ("; Path=/", "; HttpOnly", "; SameSite=Lax", "; Max-Age=3600"):
            self.assertIn(part, line)
        self.assertEqual(answer.fields["Cache-Control"], "private")
        return answer.body, line.partition(";")[0]

    def come_back(self, daemon: Daemon, cookie: str) -> set[str]:
        """Come with a cookie on many connections: whom it got, and no other cookie."""
        answers = [self.ask(daemon, headers={"Cookie": f"a=1; {cookie}"}) for _ in range(20)]
        self.assertEqual([a.fields["Set-Cookie"] for a in answers], [None] * 20)
        return {answer.body for answer in answers}

    def test_a_client_comes_back_to_its_backend(self) -> None:
        three = self.unruly(200, 200, 200)
        daemon = self.proxy(three, pool=self.STICKY, workers=2)
        firsts = [self.first(daemon) for _ in range(6)]
        self.assertGreater(len({name for name, _ in firsts}), 1)
        for name, cookie in firsts:
            self.assertEqual(self.come_back(daemon, cookie), {name})

    def test_a_backend_sees_the_others_cookies_alone(self) -> None:
        [one] = self.unruly(200)
        daemon = self.proxy([one], pool=self.STICKY)
        _, cookie = self.first(daemon)
        self.assertEqual(self.come_back(daemon, cookie), {"a"})
        self.ask(daemon, headers={"Cookie": cookie})
        self.assertEqual(one.cookies, [""] + ["a=1"] * 20 + [""])

    def test_over_a_reload_and_the_death_of_its_worker(self) -> None:
        three = self.unruly(200, 200, 200)
        configuration = settings(*(e.address for e in three), pool=self.STICKY, workers=2)
        daemon = self.daemon(configuration)
        name, cookie = self.first(daemon)
        configuration["pools"][0]["backends"].append({"address": self.unruly(200)[0].address})
        daemon.reload(text(configuration))
        daemon.wait_for_log("in force")
        self.assertEqual(self.come_back(daemon, cookie), {name})
        daemon.deaths = 2
        before = daemon.workers
        for worker in before:
            os.kill(worker, signal.SIGKILL)
        wait_for(
            "two others", lambda: len(daemon.workers) == 2 and not {*before} & {*daemon.workers}
        )
        wait_for("an answer", lambda: self.get(daemon.port())[0] == 200)
        self.assertEqual(self.come_back(daemon, cookie), {name})

    def test_who_is_out_is_not_come_back_to(self) -> None:
        one, two = self.unruly(200, 200)
        daemon = self.proxy([one, two], pool=self.STICKY | {"outlier_detection": LONG})
        name, cookie = self.first(daemon)
        ill = one if name == "a" else two
        ill.does = 500
        headers = {"Cookie": cookie}

        def is_elsewhere() -> bool:
            self.statuses(daemon, 4)  # what the other does tells whose fault it is
            return self.ask(daemon, headers=headers).status == 200

        wait_for("another backend for it", is_elsewhere)
        answer = self.ask(daemon, headers=headers)
        self.assertNotEqual(answer.body, name)
        self.assertEqual(
            self.come_back(daemon, answer.fields["Set-Cookie"].partition(";")[0]), {answer.body}
        )

    def test_what_we_have_not_signed_is_no_cookie(self) -> None:
        """S27"""
        daemon = self.proxy(self.unruly(200, 200), pool=self.STICKY)
        _, cookie = self.first(daemon)
        for forged in ("vf=127.0.0.1:80", "vf=", cookie[:-1] + ("A" if cookie[-1] != "A" else "B")):
            answer = self.ask(daemon, headers={"Cookie": forged})
            self.assertEqual(answer.status, 200)
            self.assertIsNotNone(answer.fields["Set-Cookie"])


class BreakerTests(ResilienceCase):
    MODEL = {"error_percent": 50, "min_requests": 10, "open": "300ms", "probes": 1}

    def test_opens_and_closes(self) -> None:
        """X1, X4: the pool is left in peace, and tried until it is well."""
        [one] = self.unruly(500)
        daemon = self.proxy([one], pool={"circuit_breaker": self.MODEL | {"open": "2s"}})
        found = self.statuses(daemon, 30)
        self.assertTrue(10 <= found[500] < 20 and found[503] == 30 - found[500], found)
        self.assertEqual(one.asked, {"GET": found[500]})
        self.wait_for_metric(daemon, 1, "veloflux_upstream_circuit_open")
        answers = [self.ask(daemon) for _ in range(3)]
        self.assertTrue(any("Retry-After" in answer.fields for answer in answers))
        one.does = 200
        wait_for("a probe", lambda: self.ask(daemon).status == 200)
        self.assertEqual(self.statuses(daemon, 20), {200: 20})
        self.wait_for_metric(daemon, 0, "veloflux_upstream_circuit_open")

    def test_a_probe_whose_client_leaves_blocks_nothing(self) -> None:
        [one] = self.unruly(500)
        daemon = self.proxy([one], pool={"circuit_breaker": self.MODEL})
        self.statuses(daemon, 11)
        one.does = "silence"
        client = self.connect(daemon.port())
        asked = one.asked["GET"]

        def is_probing() -> bool:
            if one.asked["GET"] == asked:
                with contextlib.suppress(OSError):
                    client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            return one.asked["GET"] > asked

        wait_for("a probe", is_probing)
        reset(client)
        one.does = 200
        wait_for("another probe", lambda: self.ask(daemon).status == 200)
        self.assertEqual(self.statuses(daemon, 20), {200: 20})

    def test_failures_below_its_share_open_nothing(self) -> None:
        three = self.unruly(500, 200, 200)
        pool = {"circuit_breaker": self.MODEL, "outlier_detection": None}
        daemon = self.proxy(three, pool=pool)
        self.assertEqual(self.statuses(daemon, 60), {500: 20, 200: 40})
