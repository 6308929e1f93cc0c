from base64 import urlsafe_b64decode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.policy.sticky import Seal

SECRET = bytes(range(32))
NOW = 1_800_000_000.0


def seal(pool: str = "app", secret: bytes = SECRET, **changes: bool) -> Seal:
    return Seal(secret, pool, "veloflux", 3600.0, **changes)


def value_of(line: bytes) -> bytes:
    return line.partition(b"=")[2].partition(b";")[0]


class StickyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.seal = seal()
        self.value = value_of(self.seal.issue("10.0.0.1:80", NOW))
        self.cookie = b"veloflux=" + self.value

    def test_the_line(self) -> None:
        line = self.seal.issue("10.0.0.1:80", NOW)
        self.assertEqual(
            line.replace(self.value, b"..."),
            b"Set-Cookie: veloflux=...; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax\r\n",
        )
        self.assertIn(b"; Secure\r\n", seal().issue("10.0.0.1:80", NOW, is_secure=True))

    def test_brings_back_to_the_backend(self) -> None:
        token = self.seal.read([self.cookie], NOW)
        assert token is not None
        self.assertEqual(token.backend_id, self.seal.backend_id("10.0.0.1:80"))
        self.assertNotEqual(token.backend_id, self.seal.backend_id("10.0.0.2:80"))

    def test_another_worker_reads_it(self) -> None:
        self.assertIsNotNone(seal().read([self.cookie], NOW))

    def test_is_found_among_others(self) -> None:
        for around in (
            b"a=1; %b; b=2",
            b"a=1;%b;b=2",
            b"xveloflux=1; %b",
            b"veloflux=old; %b",
            b"a=1, %b",
        ):
            self.assertIsNotNone(seal().read([b"c=3", around % self.cookie], NOW))

    def test_other_names_are_not_it(self) -> None:
        for name in (b"xveloflux", b"velofluxx", b"Veloflux", b"veloflux_"):
            self.assertIsNone(self.seal.read([name + b"=" + self.value], NOW))

    def test_says_nothing_of_the_address(self) -> None:
        raw = urlsafe_b64decode(self.value)
        self.assertNotIn(b"10.0.0.1", raw)
        self.assertNotEqual(
            seal("other").backend_id("10.0.0.1:80"), self.seal.backend_id("10.0.0.1:80")
        )

    def test_ends(self) -> None:
        self.assertIsNotNone(self.seal.read([self.cookie], NOW + 3599))
        self.assertIsNone(self.seal.read([self.cookie], NOW + 3600))

    def test_is_renewed_in_the_second_half(self) -> None:
        token = self.seal.read([self.cookie], NOW)
        assert token is not None
        self.assertTrue(self.seal.is_fresh(token, NOW + 1799))
        self.assertFalse(self.seal.is_fresh(token, NOW + 1800))

    def test_another_pool_or_secret_reads_none(self) -> None:
        """S27: what a client brings is worth what we have signed ourselves."""
        self.assertIsNone(seal("other").read([self.cookie], NOW))
        self.assertIsNone(seal(secret=bytes(32)).read([self.cookie], NOW))

    @given(st.integers(0, 43), st.integers(1, 255))
    def test_any_change_breaks_it(self, place: int, change: int) -> None:
        changed = bytearray(self.value)
        changed[place] ^= change
        self.assertIsNone(seal().read([b"veloflux=" + bytes(changed)], NOW))

    @given(st.lists(st.binary(max_size=100) | st.just(b"veloflux=") | st.just(b";"), max_size=10))
    def test_rubbish_is_none(self, parts: list[bytes]) -> None:
        self.assertIsNone(self.seal.read([b"".join(parts), *parts], NOW))

    @given(st.binary(min_size=44, max_size=44))
    def test_rubbish_of_the_right_length_is_none(self, value: bytes) -> None:
        self.assertIsNone(self.seal.read([b"veloflux=" + value], NOW))

    def test_many_of_the_name_cost_little(self) -> None:
        """L10: four are looked at."""
        many = b"; ".join([b"veloflux=" + b"A" * 44] * 4)
        self.assertIsNone(self.seal.read([many, self.cookie], NOW))
        self.assertIsNone(self.seal.read([many + b"; " + self.cookie], NOW))
        self.assertIsNotNone(self.seal.read([many[9 + 44 + 2 :], self.cookie], NOW))

    def test_remembers_no_more_than_so_many(self) -> None:
        """L10"""
        for second in range(2000):
            again = b"veloflux=" + value_of(self.seal.issue("10.0.0.1:80", NOW + second))
            self.assertIsNotNone(self.seal.read([again], NOW + second))
        self.assertLessEqual(len(self.seal._read), 1024)
        self.assertIsNotNone(self.seal.read([self.cookie], NOW))

    def test_what_is_remembered_ends_too(self) -> None:
        self.assertIsNotNone(self.seal.read([self.cookie], NOW))
        self.assertIsNone(self.seal.read([self.cookie], NOW + 3600))

    def test_a_backend_does_not_see_it(self) -> None:
        for before, after in (
            (b"a=1; %b; b=2", b"a=1; b=2"),
            (b"%b; b=2", b"b=2"),
            (b"a=1; %b", b"a=1"),
            (b"a=1;%b;veloflux=2;b=2", b"a=1;b=2"),
            (b"%b", b""),
            (b"a=%b", b"a=%b"),
            (b"xveloflux=1", b"xveloflux=1"),
            (b"a=1", b"a=1"),
        ):
            cookie = self.cookie
            self.assertEqual(
                self.seal.without(before.replace(b"%b", cookie)), after.replace(b"%b", cookie)
            )

    @given(st.binary(max_size=200))
    def test_the_rest_stays_as_it_was(self, value: bytes) -> None:
        without = self.seal.without(value)
        self.assertIsNone(self.seal.read([without], NOW))
        if b"veloflux" not in value:
            self.assertEqual(without, value)

    def test_a_short_secret_is_refused(self) -> None:
        self.assertRaises(ValueError, seal, secret=b"short")
