from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.policy.debts import SLOTS_PER_BUCKET, Debts, size
from veloflux.core.policy.limit import Limiter, client_key

SECRET = b"s" * 32

RATES = st.floats(0.01, 100_000)
BURSTS = st.integers(1, 50)


def debts(buckets: int = 16) -> Debts:
    return Debts(memoryview(bytearray(size(buckets))), SECRET)


class LimiterTests(SynchronousTestCase):
    @given(
        rate=st.floats(0.01, 100),
        burst=BURSTS,
        start=st.floats(0, 1e7),
        gaps=st.lists(st.floats(0, 3) | st.just(0.0), max_size=40),
        scale=st.sampled_from((1.0, 0.001, 0.000001)),
    )
    def test_never_admits_more_than_the_rate_and_the_burst(
        self, rate: float, burst: int, start: float, gaps: list[float], scale: float
    ) -> None:
        """R1: in no window, wherever it begins."""
        limiter, memory, now = Limiter(rate, burst), debts(), start
        granted: list[float] = []
        for gap in gaps:
            now += gap * scale
            while limiter.decide(memory, b"k", now).allowed:
                granted.append(now)
                if len(granted) == 200:
                    break
            if len(granted) == 200:
                break
        # The clock is read to the nanosecond, which is more than what floats leave out.
        at_once = burst + (rate + 1) * 5e-9
        for first, begin in enumerate(granted):
            for last in range(first, len(granted)):
                self.assertLessEqual(last - first + 1, rate * (granted[last] - begin) + at_once)

    @given(rate=RATES, burst=BURSTS, start=st.floats(0, 1e6), count=st.integers(1, 200))
    def test_who_keeps_to_the_rate_always_gets_through(
        self, rate: float, burst: int, start: float, count: int
    ) -> None:
        limiter, memory = Limiter(rate, burst), debts()
        for n in range(count):
            # A nanosecond is what the clock and the interval are rounded to.
            now = start + n * (1 / rate + 2e-9)
            self.assertTrue(limiter.decide(memory, b"k", now).allowed, n)

    @given(rate=RATES, burst=BURSTS, start=st.floats(0, 1e6))
    def test_the_burst_is_there_at_once_and_tells_what_remains(
        self, rate: float, burst: int, start: float
    ) -> None:
        limiter, memory = Limiter(rate, burst), debts()
        remaining = [limiter.decide(memory, b"k", start).remaining for _ in range(burst)]
        self.assertEqual(remaining, list(range(burst - 1, -1, -1)))
        refused = limiter.decide(memory, b"k", start)
        self.assertFalse(refused.allowed)
        self.assertEqual(refused.remaining, 0)
        self.assertAlmostEqual(refused.retry_after_s, 1 / rate, delta=3e-9)
        self.assertAlmostEqual(refused.reset_s, limiter.reset_s)

    @given(rate=RATES, burst=BURSTS)
    def test_who_waits_as_told_gets_through(self, rate: float, burst: int) -> None:
        limiter, memory = Limiter(rate, burst), debts()
        for _ in range(burst):
            limiter.decide(memory, b"k", 5.0)
        wait = limiter.decide(memory, b"k", 5.0).retry_after_s
        self.assertFalse(limiter.decide(memory, b"k", 5.0 + wait / 2).allowed)
        self.assertTrue(limiter.decide(memory, b"k", 5.0 + wait + 2e-9).allowed)

    @given(
        rate=RATES,
        burst=BURSTS,
        keys=st.lists(st.integers(0, 20), min_size=1, max_size=60),
        gap=st.floats(0, 1),
    )
    def test_a_peek_says_what_would_be_decided_and_changes_nothing(
        self, rate: float, burst: int, keys: list[int], gap: float
    ) -> None:
        """Also where there are more clients than places."""
        limiter, cells = Limiter(rate, burst), bytearray(size(1))
        memory = Debts(memoryview(cells), SECRET)
        for n, key in enumerate(keys):
            before = bytes(cells)
            seen = limiter.peek(memory, b"%d" % key, n * gap)
            self.assertEqual(bytes(cells), before)
            self.assertEqual(seen, limiter.decide(memory, b"%d" % key, n * gap))

    def test_a_refused_request_costs_nothing(self) -> None:
        limiter, memory = Limiter(1, 1), debts()
        self.assertTrue(limiter.decide(memory, b"k", 0).allowed)
        for tenth in range(1, 10):
            self.assertFalse(limiter.decide(memory, b"k", tenth / 10).allowed)
        self.assertTrue(limiter.decide(memory, b"k", 1).allowed)

    def test_keys_do_not_count_together(self) -> None:
        limiter, memory = Limiter(1, 1), debts()
        self.assertTrue(limiter.decide(memory, b"one", 0).allowed)
        self.assertTrue(limiter.decide(memory, b"other", 0).allowed)
        self.assertFalse(limiter.decide(memory, b"one", 0).allowed)

    def test_the_burst_is_a_second_s_worth_unless_it_is_given(self) -> None:
        self.assertEqual([Limiter(rate).burst for rate in (0.2, 1, 2.5, 100)], [1, 1, 3, 100])

    def test_refuses_what_is_no_limit(self) -> None:
        for rate, burst in (
            (0.0, None),
            (-1.0, None),
            (float("nan"), None),
            (float("inf"), None),
            (1.0, 0),
            (1e-9, 1000),
        ):
            self.assertRaises(ValueError, Limiter, rate, burst)


class DebtsTests(SynchronousTestCase):
    @given(
        steps=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 50)), max_size=300),
    )
    def test_forgets_nobody_who_still_owes_while_there_is_room(
        self, steps: list[tuple[int, int]]
    ) -> None:
        """L10: the buckets of 64 slots are never all owing with a dozen at a time."""
        memory, now = debts(), 100
        owing: dict[bytes, int] = {}
        for client, debt in steps:
            now += 5
            owing = {key: tat for key, tat in owing.items() if tat > now}
            key = b"%d" % client
            place = memory.place(key)
            self.assertEqual(memory.get(place) if key in owing else 0, owing.get(key, 0))
            owing[key] = now + debt
            memory.set(place, now + debt)

    def test_gives_the_place_of_who_owes_least_to_who_is_new(self) -> None:
        memory = debts(1)
        for tat in (50, 20, 40, 30):
            memory.set(memory.place(b"%d" % tat), tat)
        taken = memory.place(b"new")
        self.assertEqual(memory.get(taken), 20)
        for tat in (50, 40, 30):
            self.assertEqual(memory.get(memory.place(b"%d" % tat)), tat)

    def test_strangers_share_a_limit_when_all_places_owe(self) -> None:
        """L10, R1: a flood of addresses is bounded as a whole."""
        memory, limiter = debts(2), Limiter(1, 3)
        granted = sum(limiter.decide(memory, b"%d" % n, n / 1000).allowed for n in range(2000))
        slots = 2 * SLOTS_PER_BUCKET
        self.assertLessEqual(granted, slots * (3 + 2))
        self.assertGreaterEqual(granted, slots)

    def test_what_is_taken_over_is_no_more_than_one_s_own_burst(self) -> None:
        """R1: a slow route's debts last for hours, and a fast one's client may inherit them."""
        memory, fast = debts(1), Limiter(10, 5)
        for n in range(SLOTS_PER_BUCKET):
            memory.set(memory.place(b"slow %d" % n), 10_000 * 10**9)
        refused = fast.decide(memory, b"fast", 0)
        self.assertFalse(refused.allowed)
        self.assertAlmostEqual(refused.retry_after_s, 0.1)

    def test_two_that_share_the_memory_see_the_same(self) -> None:
        memory = memoryview(bytearray(size(16)))
        one, other = Debts(memory, SECRET), Debts(memory, SECRET)
        limiter = Limiter(1, 2)
        self.assertTrue(limiter.decide(one, b"k", 0).allowed)
        self.assertTrue(limiter.decide(other, b"k", 0).allowed)
        self.assertFalse(limiter.decide(one, b"k", 0).allowed)
        self.assertFalse(limiter.decide(other, b"k", 0).allowed)

    def test_hardly_a_place_is_shared_while_half_of_them_are_free(self) -> None:
        memory = debts(1024)
        count = 1024 * SLOTS_PER_BUCKET // 2
        places = set()
        for n in range(count):
            place = memory.place(b"%d" % n)
            memory.set(place, 1)
            places.add(place)
        # Chance decides, but the secret is the same each time.
        self.assertGreater(len(places), count * 0.995)

    def test_refuses_memory_of_another_size(self) -> None:
        for bytes_ in (0, 8, size(1) - 8, size(3), size(4) + 8):
            self.assertRaises(ValueError, Debts, memoryview(bytearray(bytes_)), SECRET)


class ClientKeyTests(SynchronousTestCase):
    def test_an_ipv6_site_is_one_client(self) -> None:
        """R1"""
        same = {client_key(f"2001:db8:1:2:{n:x}::{n:x}") for n in range(50)}
        self.assertEqual(len(same), 1)
        self.assertNotIn(client_key("2001:db8:1:3::1"), same)

    def test_an_ipv4_address_is_one_client_however_it_is_written(self) -> None:
        self.assertEqual(client_key("::ffff:192.0.2.1"), client_key("192.0.2.1"))
        self.assertNotEqual(client_key("192.0.2.2"), client_key("192.0.2.1"))

    def test_all_without_an_address_are_one(self) -> None:
        self.assertEqual(client_key("unix:"), client_key("elsewhere"))
