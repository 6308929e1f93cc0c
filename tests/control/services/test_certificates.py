"""Until when certificates are good."""

from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.support.authority import issued
from veloflux.control.services.certificates import Certificates
from veloflux.core.model.address import Address
from veloflux.core.model.tls import Certificate, Document, ListenerTls
from veloflux.core.model.traffic import Listener, Snapshot


def snapshot(*names: str) -> Snapshot:
    pairs = [issued(name) for name in names]
    certificates = tuple(
        Certificate(Document(f"/{name}.pem", pair.pem), Document(f"/{name}.key", pair.key_pem))
        for name, pair in zip(names, pairs, strict=True)
    )
    listener = Listener("web", Address("127.0.0.1", 443), tls=ListenerTls(certificates))
    clear = replace(listener, name="clear", tls=None)
    return Snapshot(1, (listener, replace(listener, name="too"), clear), (), ())


class CertificateTests(SynchronousTestCase):
    def test_reads_each_once_with_its_listeners(self) -> None:
        certificates = Certificates(lambda work: succeed(work()))
        certificates.configure(snapshot("a.example", "b.example"))
        first, second = certificates.found
        self.assertEqual((first.name, first.path), ("a.example", "/a.example.pem"))
        self.assertEqual(second.names, ("b.example",))
        self.assertEqual(first.listeners, ("web", "too"))
        self.assertLess(first.not_before, first.not_after)
        certificates.configure(snapshot())
        self.assertEqual(certificates.found, ())

    def test_the_latest_configuration_counts(self) -> None:
        waiting: list[tuple[Deferred[Any], Any]] = []

        def in_thread(work: Any) -> Deferred[Any]:
            waiting.append((Deferred(), work()))
            return waiting[-1][0]

        certificates = Certificates(in_thread)
        certificates.configure(snapshot("a.example"))
        certificates.configure(snapshot("b.example"))
        for deferred, found in reversed(waiting):
            deferred.callback(found)
        self.assertEqual([each.name for each in certificates.found], ["b.example"])
