from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.policy.server_name import ByName, Choice, Names, server_name


class ServerNames(SynchronousTestCase):
    """T1"""

    def test_of_hosts(self) -> None:
        for said, name in (
            (b"example.org", "example.org"),
            (b"Example.ORG.", "example.org"),
            (b"a_b.example", "a_b.example"),
            (b"xn--bcher-kva.example", "xn--bcher-kva.example"),
            (b"localhost", "localhost"),
        ):
            self.assertEqual(server_name(said), name)

    def test_of_nothing(self) -> None:
        for said in (
            *(None, b"", b".", b"..", b"a..b", b".a", b"192.0.2.1", b"::1", b"2001:db8::1"),
            *(b"a\0b", b"a b", b"a/b", b'"', b"b\xc3\xbccher.example", b"a" * 254, b"*.a", b"a:1"),
        ):
            self.assertEqual(server_name(said), "", said)

    @given(st.binary(max_size=300))
    def test_of_anything_can_be_logged(self, said: bytes) -> None:
        self.assertRegex(server_name(said), r"\A[a-z0-9_.-]{0,253}\Z")


class Coverage(SynchronousTestCase):
    """RFC 9525 section 6.3"""

    def test_by_name(self) -> None:
        names = Names(["a.example", "*.b.example", "*.co", "192.0.2.1", "2001:db8::1"])
        for host, is_covered in (
            ("a.example", True),
            ("x.a.example", False),
            ("x.b.example", True),
            ("b.example", False),
            ("x.y.b.example", False),
            (".b.example", True),
            ("a.co", True),
            ("192.0.2.1", True),
            ("192.0.2.2", False),
            ("[2001:db8::1]", True),
            ("[2001:db8::2]", False),
            ("", False),
            ("*.b.example", True),
        ):
            self.assertEqual(names.cover(host), is_covered, host)

    def test_a_wildcard_stands_for_no_part_of_an_address(self) -> None:
        self.assertFalse(Names(["*.0.2.1"]).cover("192.0.2.1"))


class Choices(SynchronousTestCase):
    def test_exact_before_wildcard_before_the_first(self) -> None:
        choice = Choice([Names(["first.example"]), Names(["*.b.example"]), Names(["a.b.example"])])
        for name, place in (
            ("a.b.example", 2),
            ("c.b.example", 1),
            ("c.a.b.example", 0),
            ("other.example", 0),
            ("", 0),
        ):
            self.assertEqual(choice.find(name), place, name)

    def test_of_two_for_one_name_the_first(self) -> None:
        self.assertEqual(Choice([Names(["x"]), Names(["a"]), Names(["a"])]).find("a"), 1)

    @given(st.lists(st.sampled_from(["a.example", "*.example", "b.a.example", "*.a.example"])))
    def test_what_is_chosen_covers_or_is_the_first(self, names: list[str]) -> None:
        certificates = [Names([name]) for name in names]
        for host in ("a.example", "c.example", "b.a.example", "d.a.example", "e"):
            place = Choice(certificates).find(host)
            covering = [each for each in certificates if each.cover(host)]
            self.assertTrue(
                place == 0 if not covering else certificates[place] in covering, (host, place)
            )


class Rules(SynchronousTestCase):
    def test_the_most_specific_goes_first(self) -> None:
        rules = (("*.example", "1"), ("*.b.example", "2"), ("a.b.example", "3"), ("b.example", "4"))
        by_name = ByName(rules, "0")
        for name, place in (
            ("a.b.example", "3"),
            ("c.b.example", "2"),
            ("d.c.b.example", "2"),
            ("b.example", "4"),
            ("c.example", "1"),
            ("example", "0"),
            ("elsewhere", "0"),
            ("", "0"),
        ):
            self.assertEqual(by_name.find(name), place, name)

    def test_without_a_default_there_may_be_none(self) -> None:
        by_name = ByName((("a.example", "1"),), None)
        self.assertIsNone(by_name.find(""))
        self.assertIsNone(by_name.find("b.example"))
