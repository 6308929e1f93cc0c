"""Certificates that were replaced, and the configuration that names them."""

from tests.config.test_secrecy import SecrecyTestCase
from tests.support.authority import authority, now
from veloflux.config.renew import marks, renew
from veloflux.core.model.node import Node
from veloflux.core.model.tls import ListenerTls


def tls_of(node: Node) -> ListenerTls:
    tls = node.snapshot.listeners[0].tls
    assert tls is not None
    return tls


class Renewals(SecrecyTestCase):
    """X12, C2"""

    def test_of_nothing_is_the_same(self) -> None:
        self.write("ca.pem", authority().pem)
        node = self.load(client_ca="ca.pem", backend={"tls": {"ca": "ca.pem"}}).node
        before = marks(node)
        self.assertEqual(len(before), 3)
        found = renew(node, now())
        self.assertEqual((found.node, found.problems, found.concerns), (node, [], []))
        self.assertEqual(marks(node), before)

    def test_of_a_pair(self) -> None:
        node = self.load().node
        before = marks(node)
        fresh = authority().issue("example.org")
        self.put(fresh)
        self.assertNotEqual(marks(node), before)
        found = renew(node, now())
        [pair] = tls_of(found.node).certificates
        self.assertEqual((pair.cert.content, pair.key.content), (fresh.pem, fresh.key_pem))
        self.assertEqual(found.problems, [])

    def test_of_authorities_and_a_backends_pair(self) -> None:
        self.write("ca.pem", authority().pem)
        tls = {"ca": "ca.pem", "cert": "a.pem", "key": "a.key"}
        node = self.load(client_ca="ca.pem", backend={"tls": tls}).node
        self.write("ca.pem", authority().pem + authority().pem)
        fresh = authority().issue("b")
        self.put(fresh)
        found = renew(node, now()).node
        ca = tls_of(found).client_ca
        assert ca is not None
        self.assertEqual(ca.content, authority().pem * 2)
        backend = found.snapshot.pools[0].backends[0].tls
        assert backend is not None
        self.assertEqual(backend.ca, ca)
        assert backend.cert is not None
        self.assertEqual(backend.cert.content, fresh.pem)

    def test_of_the_admin_listeners_pair(self) -> None:
        self.put(authority().issue("admin"), "b")
        pair = {"cert": "b.pem", "key": "b.key"}
        node = self.load(admin={"tls": {"certificates": [pair]}}).node
        before = marks(node)
        fresh = authority().issue("admin")
        self.put(fresh, "b")
        self.assertNotEqual(marks(node), before)
        found = renew(node, now()).node
        assert found.admin.tls is not None
        self.assertEqual(found.admin.tls.certificates[0].cert.content, fresh.pem)
        self.assertEqual(found.snapshot, node.snapshot)

    def test_of_half_a_pair_waits_for_the_other(self) -> None:
        node = self.load().node
        fresh = authority().issue("example.org")
        self.write("a.pem", fresh.pem)
        found = renew(node, now())
        self.assertEqual(found.node, node)
        [problem] = found.problems
        self.assertIn("a.key is not the key of the certificate", problem)
        self.write("a.key", fresh.key_pem)
        self.assertNotEqual(renew(node, now()).node, node)

    def test_of_what_cannot_be_used_changes_nothing(self) -> None:
        self.write("ca.pem", authority().pem)
        node = self.load(client_ca="ca.pem").node
        for name, content in (
            ("a.pem", b"half"),
            ("a.key", b""),
            ("ca.pem", b"half"),
            ("a.pem", authority().issue("example.org", days=-2).pem),
        ):
            kept = (self.directory / name).read_bytes()
            self.write(name, content)
            found = renew(node, now())
            self.assertEqual(found.node, node, name)
            self.assertEqual(len(found.problems), 1, found.problems)
            self.write(name, kept)
        (self.directory / "a.key").unlink()
        self.assertEqual(renew(node, now()).node, node)
        self.assertEqual(marks(node)[0][1:], (0, 0, 0))

    def test_one_that_expires_is_used_on_and_said(self) -> None:
        self.put(authority().issue("example.org", days=10))
        node = self.load().node
        found = renew(node, now())
        self.assertEqual((found.node, found.problems), (node, []))
        self.assertIn("a.pem expires on", found.concerns[0])
