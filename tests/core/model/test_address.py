from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.model.address import Address


class Parse(SynchronousTestCase):
    def test_takes_the_three_forms(self) -> None:
        self.assertEqual(Address.parse("127.0.0.1:80"), Address("127.0.0.1", 80))
        self.assertEqual(Address.parse("[2001:DB8::0:1]:80"), Address("2001:db8::1", 80))
        self.assertEqual(Address.parse("App_1.Example:0"), Address("app_1.example", 0))
        self.assertEqual(Address.parse("unix:/run/a"), Address(path="/run/a"))

    def test_refuses_everything_else(self) -> None:
        for text in (
            "", ":80", "app", "app:", "app:-1", "app:65536", "app:080", "app:٨٠", "app:80 ",
            "a b:80", "::1:80", "[::1]", "[::g]:80", "[::1%eth0]:80", "a..b:80", "-a:80", "a-:80",
            "a@b:80", "http://a:80", "unix:", "unix:a", "unix:/" + "a" * 107, "unix:/a\0b",
            "a" * 64 + ":80", "a." * 200 + "a:80",
        ):  # fmt: skip
            with self.subTest(text):
                self.assertRaises(ValueError, Address.parse, text)

    def test_refuses_other_spellings_of_ip_addresses(self) -> None:
        """F1: 127.1, octal, hexadecimal and plain numbers reach loopback on many systems."""
        for text in ("127.1:80", "0177.0.0.1:80", "0x7f.0.0.1:80", "0x7f000001:80",
                     "2130706433:80", "127.0.0.1.:80", "256.0.0.1:80", "a.1:80"):  # fmt: skip
            with self.subTest(text):
                self.assertRaises(ValueError, Address.parse, text)

    @given(st.text(st.sampled_from("[]:.-_0189afxunix/% ")))
    def test_the_text_of_an_address_is_its_identity(self, text: str) -> None:
        try:
            address = Address.parse(text)
        except ValueError as error:
            self.assertTrue(str(error))
        else:
            self.assertEqual(Address.parse(str(address)), address)
