from base64 import b64encode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.control.services.identity.authorization import MAX_BYTES, Basic, Bearer, parse


class ParseTests(SynchronousTestCase):
    @given(st.text().filter(lambda name: ":" not in name), st.text(min_size=1))
    def test_reads_any_name_and_password(self, name: str, password: str) -> None:
        encoded = b64encode(f"{name}:{password}".encode("utf-8", "replace"))
        found = parse([b"bASIC  " + encoded])
        self.assertIsInstance(found, Basic)
        assert isinstance(found, Basic)
        self.assertEqual(found.name, name.encode("utf-8", "replace").decode())

    def test_a_colon_belongs_to_the_password(self) -> None:
        self.assertEqual(parse([b"Basic " + b64encode(b"a:b:c")]), Basic("a", "b:c"))

    def test_reads_tokens_of_eight_kilobytes_and_no_more(self) -> None:
        token = "x" * (MAX_BYTES - len("Bearer "))
        self.assertEqual(parse([b"bearer " + token.encode()]), Bearer(token))
        self.assertIsNone(parse([b"bearer " + token.encode() + b"x"]))

    @given(st.lists(st.binary(max_size=60), max_size=3))
    def test_any_bytes_are_credentials_or_none(self, headers: list[bytes]) -> None:
        found = parse(headers)
        self.assertTrue(found is None or len(headers) == 1)
