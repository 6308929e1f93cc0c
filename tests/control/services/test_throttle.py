from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.control.services.throttle import MAX_KEYS, WINDOW_S, Throttle

TRIES = 5


def tried(throttle: Throttle, address: str, now: float, account: str = "") -> float:
    """Take a try if there is one; else how long there will be none."""
    wait_s = throttle.wait_s(address, now, account)
    if not wait_s:
        throttle.take(address, now, account)
    return wait_s


class ThrottleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.throttle = Throttle(TRIES)

    def tries(self, *addresses: str, now: float = 0.0) -> list[bool]:
        return [tried(self.throttle, address, now) == 0 for address in addresses]

    def test_a_few_tries_then_none(self) -> None:
        self.assertEqual(self.tries(*["192.0.2.1"] * 7), [True] * 5 + [False] * 2)

    def test_tells_when_to_come_back(self) -> None:
        self.tries(*["192.0.2.1"] * 5)
        self.assertAlmostEqual(tried(self.throttle, "192.0.2.1", 60.0), 120.0)
        self.assertEqual(tried(self.throttle, "192.0.2.1", 180.0), 0.0)

    def test_a_right_try_comes_back(self) -> None:
        for _ in range(20):
            self.assertEqual(tried(self.throttle, "192.0.2.1", 0.0), 0.0)
            self.throttle.give_back("192.0.2.1", 0.0)
        self.assertEqual(self.tries(*["192.0.2.1"] * 6), [True] * 5 + [False])

    def test_addresses_are_apart(self) -> None:
        self.tries(*["192.0.2.1"] * 5)
        self.assertEqual(self.tries("192.0.2.2", "unix"), [True, True])

    def test_accounts_are_apart(self) -> None:
        for _ in range(TRIES):
            tried(self.throttle, "192.0.2.1", 0.0, "one")
        self.assertEqual(tried(self.throttle, "192.0.2.1", 0.0, "two"), 0.0)
        self.assertGreater(tried(self.throttle, "192.0.2.1", 0.0, "one"), 0.0)

    def test_a_v6_network_is_one(self) -> None:
        self.assertEqual(self.tries(*(f"2001:db8::{i}" for i in range(1, 7)))[-1], False)
        self.assertEqual(self.tries("2001:db8:0:1::1", "fe80::1%eth0"), [True, True])

    def test_a_mapped_address_is_the_v4_one(self) -> None:
        self.tries(*["192.0.2.1"] * 5)
        self.assertEqual(self.tries("::ffff:192.0.2.1"), [False])

    def test_many_addresses_push_out_the_oldest_only(self) -> None:
        self.tries(*["old"] * 5)
        self.tries(*["recent"] * 5)
        self.tries(*(str(i) for i in range(MAX_KEYS - 1)))
        self.assertEqual(self.tries("recent", "old"), [False, True])

    @given(st.lists(st.floats(0, 500), min_size=1, max_size=60))
    def test_admits_no_more_than_its_rate(self, pauses: list[float]) -> None:
        throttle, now, admitted = Throttle(TRIES), 0.0, 0
        for pause in pauses:
            now += pause
            admitted += tried(throttle, "192.0.2.1", now) == 0
        self.assertLessEqual(admitted, TRIES + now * TRIES / WINDOW_S + 1e-6)
