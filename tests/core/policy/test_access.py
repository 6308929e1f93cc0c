from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.policy.access import REMEMBERED, Access, access


@st.composite
def around(draw: st.DrawFn) -> tuple[str, str]:
    """An address, and a network that is about there."""
    ip = draw(st.ip_addresses(v=draw(st.sampled_from((4, 6)))))
    length = draw(st.integers(0, ip.max_prefixlen))
    return str(ip), str(ip_network(f"{ip}/{length}", strict=False))


class Admission(SynchronousTestCase):
    def test_deny_wins(self) -> None:
        rule = Access(["10.0.0.0/8"], ["10.1.0.0/16"])
        self.assertTrue(rule.admits("10.2.0.1"))
        self.assertFalse(rule.admits("10.1.0.1"))

    def test_who_is_not_allowed_is_denied(self) -> None:
        rule = Access(["10.0.0.0/8", "2001:db8::/32"], [])
        self.assertFalse(rule.admits("11.0.0.1"))
        self.assertTrue(rule.admits("2001:db8:ffff::1"))
        self.assertFalse(rule.admits("2001:db9::1"))

    def test_who_is_not_denied_is_allowed(self) -> None:
        rule = Access([], ["192.0.2.1", "2001:db8::1/128"])
        self.assertTrue(rule.admits("192.0.2.2"))
        self.assertFalse(rule.admits("192.0.2.1"))
        self.assertFalse(rule.admits("2001:db8::1"))
        self.assertTrue(rule.admits("unix:"))

    def test_a_mapped_address_is_the_ipv4_address(self) -> None:
        """R1: on a socket for both, IPv4 clients look so."""
        rule = Access(["192.0.2.0/24"], ["192.0.2.7"])
        self.assertTrue(rule.admits("::ffff:192.0.2.1"))
        self.assertFalse(rule.admits("::ffff:192.0.2.7"))
        self.assertFalse(rule.admits("::ffff:c000:207"))
        self.assertFalse(Access([], ["::ffff:192.0.2.0/120"]).admits("192.0.2.1"))
        self.assertFalse(Access(["::/0"], []).admits("::ffff:192.0.2.1"))

    def test_who_has_no_address_is_in_no_network(self) -> None:
        self.assertFalse(Access(["0.0.0.0/0", "::/0"], []).admits("unix:"))
        self.assertTrue(Access([], ["0.0.0.0/0", "::/0"]).admits("unix:"))

    def test_a_zone_is_no_disguise(self) -> None:
        self.assertFalse(Access([], ["fe80::/10"]).admits("fe80::1%eth0"))

    @given(around(), around(), around())
    def test_agrees_with_the_standard_library(
        self, one: tuple[str, str], two: tuple[str, str], three: tuple[str, str]
    ) -> None:
        allow, deny = [one[1], two[1]], [three[1]]
        rule = Access(allow, deny)
        for text, _ in (one, two, three):
            ip = ip_address(text)
            if ip.version == 6 and (ip.ipv4_mapped or "::ffff" in "".join(allow + deny)):
                continue
            expected = any(ip in ip_network(each) for each in allow) and not any(
                ip in ip_network(each) for each in deny
            )
            self.assertEqual(rule.admits(text), expected, text)
            self.assertEqual(rule.admits(text), expected, "remembered")

    def test_remembers_a_bounded_number(self) -> None:
        """L10"""
        rule = Access(["10.0.0.0/8"], [])
        for n in range(3 * REMEMBERED):
            rule.admits(str(ip_address(n)))
        self.assertLessEqual(len(rule._verdicts), REMEMBERED)
        self.assertTrue(rule.admits("10.0.0.1"))

    def test_is_none_where_everybody_may_come(self) -> None:
        self.assertIsNone(access((), ()))
        self.assertIsNotNone(access((), ("10.0.0.1",)))

    def test_refuses_what_is_no_network(self) -> None:
        for text in ("10.0.0.1/8", "10.0.0.0/33", "example.org", "", "10.0.0"):
            self.assertRaises(ValueError, Access, [text], [])
            self.assertRaises(ValueError, Access, [], [text])
