"""What `ssl` does not offer of OpenSSL."""

import ssl

from twisted.trial.unittest import SynchronousTestCase

from veloflux.edge import openssl


class Reach(SynchronousTestCase):
    def setUp(self) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def test_a_key_for_tickets_is_in_the_context(self) -> None:
        reached, other = openssl.of(self.context), openssl.of(self.context)
        assert reached is not None
        assert other is not None
        key = bytes(range(openssl.TICKET_KEY_BYTES))
        self.assertNotEqual(other.ticket_key, key)
        reached.share_tickets(key)
        self.assertEqual(other.ticket_key, key)

    def test_each_context_has_its_own(self) -> None:
        keys = set()
        for _ in range(2):
            reached = openssl.of(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
            assert reached is not None
            keys.add(reached.ticket_key)
        self.assertEqual(len(keys), 2)

    def test_a_subclass_is_reached_as_well(self) -> None:
        class Context(ssl.SSLContext):
            pass

        self.assertIsNotNone(openssl.of(Context(ssl.PROTOCOL_TLS_SERVER)))

    def test_only_a_servers_context_is_one(self) -> None:
        """Whatever lies where its pointer should be is looked at before it is believed."""

        class Other:
            __slots__ = ("first", "second")

        other = Other()
        other.first = self.context  # type: ignore[attr-defined]  # slots are attributes
        wrong: list[object] = [
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            other,
            object(),
            b"\xff" * 64,
            2**300,
        ]
        for each in wrong:
            self.assertIsNone(openssl.of(each), each)  # type: ignore[arg-type]  # that is the test
