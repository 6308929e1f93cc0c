"""Certificates and keys that a configuration names."""

import json
from pathlib import Path
from typing import Any, ClassVar

from cryptography.hazmat.primitives import serialization
from twisted.trial.unittest import SynchronousTestCase

from tests.config.files import loaded, problems, with_listener
from tests.support.authority import Issued, authority
from veloflux.config import pem
from veloflux.config.diff import diff
from veloflux.config.dump import dump
from veloflux.config.load import Loaded, load
from veloflux.config.problem import ConfigError
from veloflux.core.model.tls import Certificate
from veloflux.edge.terms import names_of


class SecrecyTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(parents=True)
        self.put(authority().issue("example.org"))

    def put(self, issued: Issued, name: str = "a") -> None:
        self.write(f"{name}.pem", issued.pem)
        self.write(f"{name}.key", issued.key_pem)

    def write(self, name: str, content: bytes, mode: int = 0o600) -> None:
        path = self.directory / name
        path.write_bytes(content)
        path.chmod(mode)

    def load(
        self,
        backend: dict[str, Any] | None = None,
        listener: dict[str, Any] | None = None,
        admin: dict[str, Any] | None = None,
        **tls: Any,
    ) -> Loaded:
        section = {"certificates": [{"cert": "a.pem", "key": "a.key"}], **tls}
        whole = {
            "listeners": [{"address": "127.0.0.1:8443", "tls": section, **(listener or {})}],
            "pools": [
                {"name": "app", "backends": [{"address": "127.0.0.1:9001", **(backend or {})}]}
            ],
            "routes": [] if listener else [{"pool": "app"}],
            "admin": admin or {},
        }
        file = self.directory / "veloflux.yaml"
        file.write_text(json.dumps(whole))
        return load(str(file), {})

    def refused(self, **keys: Any) -> list[tuple[str, str]]:
        with self.assertRaises(ConfigError) as caught:
            self.load(**keys)
        return [(found.path, found.message) for found in caught.exception.problems]

    def warned(self, **keys: Any) -> list[tuple[str, str]]:
        return [(found.path, found.message) for found in self.load(**keys).warnings]


CERT = "listeners[0].tls.certificates[0].cert"
KEY = "listeners[0].tls.certificates[0].key"


class Pairs(SecrecyTestCase):
    """C2"""

    def test_that_are_good(self) -> None:
        loaded = self.load()
        self.assertEqual(loaded.warnings, ())
        tls = loaded.node.snapshot.listeners[0].tls
        assert tls is not None
        self.assertEqual(tls.certificates[0].cert.path, str(self.directory / "a.pem"))
        self.assertIn(b"BEGIN CERTIFICATE", tls.certificates[0].cert.content)

    def test_that_are_not_there(self) -> None:
        (self.directory / "a.pem").unlink()
        [(path, message)] = self.refused()
        self.assertEqual(path, CERT)
        self.assertIn("cannot be read: No such file", message)

    def test_that_are_no_files(self) -> None:
        (self.directory / "a.key").unlink()
        (self.directory / "a.key").mkdir()
        [(path, _message)] = self.refused()
        self.assertEqual(path, KEY)

    def test_that_are_nonsense(self) -> None:
        for content in (b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n"):
            self.write("a.pem", content)
            [(path, message)] = self.refused()
            self.assertEqual(path, CERT)
            self.assertIn("has no certificate in PEM form", message)
            self.put(authority().issue("example.org"))
            self.write("a.key", content)
            [(path, message)] = self.refused()
            self.assertEqual(path, KEY)
            self.assertIn("has no private key", message)
            self.put(authority().issue("example.org"))

    def test_that_do_not_match(self) -> None:
        self.write("a.key", authority().issue("example.org").key_pem)
        [(path, message)] = self.refused()
        self.assertEqual(path, KEY)
        self.assertIn("is not the key of the certificate", message)

    def test_whose_key_is_encrypted(self) -> None:
        key = authority().issue("example.org").key
        encrypted = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hush"),
        )
        self.write("a.key", encrypted)
        [(path, message)] = self.refused()
        self.assertEqual(path, KEY)
        self.assertIn("is encrypted", message)

    def test_that_have_expired(self) -> None:
        self.put(authority().issue("example.org", days=-1))
        [(path, message)] = self.refused()
        self.assertEqual(path, CERT)
        self.assertIn("has expired on", message)

    def test_that_expire_soon(self) -> None:
        """X12"""
        self.put(authority().issue("example.org", days=13))
        [(path, message)] = self.warned()
        self.assertEqual(path, CERT)
        self.assertIn("expires on", message)

    def test_whose_key_everybody_can_read(self) -> None:
        (self.directory / "a.key").chmod(0o644)
        [(path, message)] = self.warned()
        self.assertEqual(path, KEY)
        self.assertIn("chmod o-r", message)

    def test_of_authorities(self) -> None:
        self.write("ca.pem", authority().pem)
        self.assertEqual(self.warned(client_ca="ca.pem"), [])
        self.write("ca.pem", b"none")
        self.assertEqual(self.refused(client_ca="ca.pem")[0][0], "listeners[0].tls.client_ca")


class OnTheSpot(SecrecyTestCase):
    """Certificates for trying it out."""

    NAMES = ["localhost", "127.0.0.1", "[::1]"]

    def made(self, keeps: bool) -> Certificate:
        file = self.directory / "veloflux.yaml"
        listener = {"address": "127.0.0.1:8443", "protocol": "tcp", "pool": "app"}
        listener["tls"] = {"self_signed": self.NAMES}  # type: ignore[assignment]
        pool = {"name": "app", "backends": [{"address": "127.0.0.1:9001"}]}
        file.write_text(json.dumps({"listeners": [listener], "pools": [pool]}))
        loaded = load(str(file), {}, keeps=keeps)
        self.assertEqual(loaded.warnings, ())
        tls = loaded.node.snapshot.listeners[0].tls
        assert tls is not None
        [certificate] = tls.certificates
        return certificate

    def test_are_kept(self) -> None:
        made = self.made(True)
        self.assertEqual(self.made(True), made)
        self.assertEqual(self.made(False), made)
        key = Path(made.key.path)
        self.assertEqual(key.stat().st_mode & 0o777, 0o600)
        self.assertEqual(key.parent, self.directory / "var")
        self.assertEqual(key.parent.stat().st_mode & 0o777, 0o700)
        self.assertEqual(sorted(path.suffix for path in key.parent.iterdir()), [".key", ".pem"])

    def test_are_for_these_names(self) -> None:
        [leaf] = pem.certificates(self.made(False).cert.content)
        self.assertEqual(names_of(leaf), ["localhost", "127.0.0.1", "::1"])

    def test_are_not_written_by_who_only_looks(self) -> None:
        self.made(False)
        self.assertFalse((self.directory / "var").exists())

    def test_are_made_anew_when_they_are_no_good(self) -> None:
        made = self.made(True)
        for path, content in (
            (made.cert.path, b"half"),
            (made.key.path, authority().issue("a").key_pem),
            (made.cert.path, authority().issue("localhost", days=3).pem),
        ):
            Path(path).write_bytes(content)
            self.assertNotEqual(self.made(True), made)
            made = self.made(True)

    def test_that_cannot_be_kept_are_refused(self) -> None:
        (self.directory / "var").write_text("in the way")
        with self.assertRaises(ConfigError) as caught:
            self.made(True)
        self.assertIn("cannot be written", str(caught.exception))

    def test_one_of_either_kind_is_needed(self) -> None:
        self.assertIn(
            ("listeners[0].tls.certificates", "are none; write cert and key of one"),
            self.refused(certificates=[]),
        )
        [(path, _)] = self.refused(self_signed=["*.a"])
        self.assertEqual(path, "listeners[0].tls.self_signed")


class Words(SecrecyTestCase):
    def test_a_dump_has_paths_and_no_content(self) -> None:
        node = self.load().node
        text = dump(node)
        self.assertIn(str(self.directory / "a.key"), text)
        self.assertNotIn("BEGIN", text)
        file = self.directory / "again.yaml"
        file.write_text(text)
        self.assertEqual(load(str(file), {}).node, node)

    def test_a_replaced_file_is_a_difference(self) -> None:
        before = self.load().node
        self.put(authority().issue("example.org"))
        after = self.load().node
        texts = [str(change) for change in diff(before, after)]
        self.assertEqual(len(texts), 2, texts)
        self.assertIn("tls.certificates changed from", texts[0])
        self.assertIn("sha256", texts[0])
        self.assertTrue(texts[1].endswith("tls.certificates.key changed"), texts)

    def test_alpn_of_a_relay_has_no_effect(self) -> None:
        """Which protocol is spoken, a relay does not know."""
        [(path, message)] = self.warned(
            listener={"protocol": "tcp", "pool": "app"}, alpn=["http/1.1"]
        )
        self.assertEqual(path, "listeners[0].tls.alpn")
        self.assertIn("no effect", message)


class Backends(SecrecyTestCase):
    """T5"""

    TLS = "pools[0].backends[0].tls"

    def test_that_are_verified_are_the_default(self) -> None:
        loaded = self.load(backend={"tls": {}})
        self.assertEqual(loaded.warnings, ())
        tls = loaded.node.snapshot.pools[0].backends[0].tls
        assert tls is not None
        self.assertFalse(tls.insecure_skip_verify)

    def test_that_may_be_anybody_are_shown(self) -> None:
        [(path, message)] = self.warned(backend={"tls": {"insecure_skip_verify": True}})
        self.assertEqual(path, f"{self.TLS}.insecure_skip_verify")
        self.assertIn("may be anybody", message)

    def test_without_a_name_need_one(self) -> None:
        unix = {"address": "unix:/run/app.sock"}
        [(path, message)] = self.refused(backend={**unix, "tls": {}})
        self.assertEqual(path, self.TLS)
        self.assertIn("write server_name", message)
        self.assertEqual(self.warned(backend={**unix, "tls": {"server_name": "app"}}), [])

    def test_a_certificate_goes_with_its_key(self) -> None:
        for half, missing in (({"cert": "a.pem"}, "key"), ({"key": "a.key"}, "cert")):
            [(path, message)] = self.refused(backend={"tls": half})
            self.assertEqual(path, self.TLS)
            self.assertTrue(message.startswith(f"{missing} is missing"), message)
        self.write("b.key", authority().issue("b").key_pem)
        [(path, message)] = self.refused(backend={"tls": {"cert": "a.pem", "key": "b.key"}})
        self.assertEqual(path, f"{self.TLS}.key")

    def test_a_dump_says_the_same(self) -> None:
        self.write("ca.pem", authority().pem)
        tls = {"server_name": "app.internal", "ca": "ca.pem", "cert": "a.pem", "key": "a.key"}
        node = self.load(backend={"tls": tls}).node
        file = self.directory / "again.yaml"
        file.write_text(dump(node))
        self.assertEqual(load(str(file), {}).node, node)
        self.assertNotIn("BEGIN", repr(node) + file.read_text())


class AdminListener(SecrecyTestCase):
    TLS: ClassVar[dict[str, Any]] = {"certificates": [{"cert": "a.pem", "key": "a.key"}]}

    def test_is_checked_like_any_other(self) -> None:
        """C2"""
        self.put(authority().issue("example.org", days=-2), "old")
        for tls, path, part in (
            ({"certificates": []}, "admin.tls.certificates", "are none"),
            (
                {"certificates": [{"cert": "a.pem", "key": "old.key"}]},
                "admin.tls.certificates[0].key",
                "is not the key",
            ),
            (
                {"certificates": [{"cert": "old.pem", "key": "old.key"}]},
                "admin.tls.certificates[0].cert",
                "expired",
            ),
            ({**self.TLS, "client_ca": "none.pem"}, "admin.tls.client_ca", "cannot be read"),
        ):
            [(found, message), *_] = self.refused(admin={"tls": tls})
            self.assertEqual(found, path)
            self.assertIn(part, message)

    def test_speaks_the_first_version_of_http(self) -> None:
        loaded = self.load(admin={"tls": self.TLS})
        assert loaded.node.admin.tls is not None
        self.assertEqual(loaded.node.admin.tls.alpn, ("http/1.1",))
        self.assertEqual(loaded.warnings, ())
        [(path, message)] = self.warned(admin={"tls": {**self.TLS, "alpn": ["h2"]}})
        self.assertEqual(path, "admin.tls.alpn")
        self.assertIn("has no effect", message)

    def test_a_replaced_file_takes_no_restart_and_the_section_does(self) -> None:
        before = self.load(admin={"tls": self.TLS}).node
        self.put(authority().issue("example.org"))
        after = self.load(admin={"tls": self.TLS}).node
        changes = [change for change in diff(before, after) if change.text.startswith("admin")]
        self.assertEqual(len(changes), 2)
        self.assertFalse(any(change.needs_restart for change in changes))
        said = [str(change) for change in diff(self.load().node, after)]
        self.assertIn("admin.tls added (takes a restart)", said)

    def test_a_dump_says_the_same(self) -> None:
        node = self.load(admin={"address": "192.0.2.1:9090", "tls": self.TLS}).node
        file = self.directory / "again.yaml"
        file.write_text(dump(node))
        self.assertEqual(load(str(file), {}).node, node)


class PassingOn(SynchronousTestCase):
    """A listener that passes TLS on, by the host that is asked for."""

    RULES = "protocol: tcp, sni: [{host: a.example, pool: app}, {host: '*.B.example', pool: app}]"

    def test_by_rules(self) -> None:
        for keys, default in ((self.RULES, None), (f"{self.RULES}, pool: app", "app")):
            found = loaded(with_listener(keys))
            self.assertEqual(found.warnings, ())
            [listener] = found.node.snapshot.listeners
            self.assertEqual([rule.host for rule in listener.sni], ["a.example", "*.b.example"])
            self.assertEqual(listener.pool, default)
            again = loaded(dump(found.node).replace("data_dir: /srv/conf/var", "data_dir: var"))
            self.assertEqual(again.node, found.node)

    def test_that_make_no_sense(self) -> None:
        rule = "{host: a.example, pool: app}"
        for keys, path, part in (
            (f"sni: [{rule}]", "listeners[0].sni", "is for tcp listeners"),
            (f"protocol: tcp, sni: [{rule}, {rule}]", "listeners[0].sni[1].host", "sni[0]"),
            (
                "protocol: tcp, sni: [{host: '*', pool: app}]",
                "listeners[0].sni[0].host",
                "write the listener's pool",
            ),
            (
                "protocol: tcp, sni: [{host: a, pool: ap}]",
                "listeners[0].sni[0].pool",
                "no pool is called",
            ),
        ):
            [problem] = problems(with_listener(keys))
            self.assertEqual(problem.path, path)
            self.assertIn(part, problem.message)

    def test_a_changed_rule_is_a_difference(self) -> None:
        before = loaded(with_listener(self.RULES)).node
        after = loaded(with_listener(self.RULES.replace("a.example", "c.example"))).node
        [change] = diff(before, after)
        self.assertIn("sni changed from a.example to app", str(change))
