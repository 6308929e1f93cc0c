from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.model.policies import Cors
from veloflux.core.policy.cors import Rule

HERE = b"https://app.example.org"


def fields(**values: bytes) -> Any:
    return {name.replace("_", "-").encode(): value for name, value in values.items()}.get


def split(lines: bytes) -> dict[bytes, bytes]:
    pairs = [line.split(b": ", 1) for line in lines.split(b"\r\n")[:-1]]
    assert len(dict(pairs)) == len(pairs), lines
    return {name.lower(): value for name, value in pairs}


class Answers(SynchronousTestCase):
    def origin(self, said: bytes, *origins: str, **more: Any) -> bytes | None:
        lines = split(Rule(Cors(origins, **more)).lines(fields(origin=said)))
        return lines.get(b"access-control-allow-origin")

    def test_an_origin_is_compared_exactly(self) -> None:
        """Each of these has been taken for the one before it by somebody."""
        self.assertEqual(self.origin(HERE, "https://app.example.org"), HERE)
        for other in (
            b"http://app.example.org",
            b"https://app.example.org:8443",
            b"https://app.example.org.evil.example",
            b"https://evil.example/https://app.example.org",
            b"https://xapp.example.org",
            b"https://appxexample.org",
            b"https://example.org",
            b"https://app.example.org/",
            b"https://app.example.org, https://evil.example",
            b"https://APP.example.org",
            b"null",
            b"",
        ):
            self.assertIsNone(self.origin(other, "https://app.example.org"), other)

    def test_a_pattern_stands_for_whole_labels(self) -> None:
        pattern = "https://*.example.org"
        for origin in (b"https://a.example.org", b"https://a.b-c.example.org"):
            self.assertEqual(self.origin(origin, pattern), origin)
        for other in (
            b"https://example.org",
            b"https://.example.org",
            b"https://xexample.org",
            b"https://evil.example/.example.org",
            b"https://evil.example#.example.org",
            b"https://user@a.example.org",
            b"https://a.example.org.evil.example",
            b"https://a.example.org:444",
            b"http://a.example.org",
            b"https://a\n.example.org",
        ):
            self.assertIsNone(self.origin(other, pattern), other)
        self.assertEqual(
            self.origin(b"https://a.example.org:444", "https://*.example.org:444"),
            b"https://a.example.org:444",
        )

    def test_null_is_an_origin_like_others(self) -> None:
        self.assertEqual(self.origin(b"null", "null"), b"null")
        self.assertIsNone(self.origin(b"null", "https://*.example.org"))

    def test_a_star_is_said_as_it_is(self) -> None:
        lines = Rule(Cors(("*",))).lines(fields(origin=HERE))
        self.assertEqual(split(lines), {b"access-control-allow-origin": b"*"})

    def test_an_answer_varies_with_the_origin_even_when_there_is_none(self) -> None:
        rule = Rule(Cors(("https://app.example.org",)))
        for field in (fields(), fields(origin=b"https://evil.example")):
            self.assertEqual(rule.lines(field), b"Vary: Origin\r\n")

    def test_credentials_and_what_may_be_read(self) -> None:
        model = Cors(("https://app.example.org",), expose_headers=("X-A", "ETag"), credentials=True)
        self.assertEqual(
            split(Rule(model).lines(fields(origin=HERE))),
            {
                b"vary": b"Origin",
                b"access-control-allow-origin": HERE,
                b"access-control-allow-credentials": b"true",
                b"access-control-expose-headers": b"X-A, ETag",
            },
        )

    def test_refuses_credentials_for_everybody(self) -> None:
        self.assertRaises(ValueError, Rule, Cors(("*",), credentials=True))
        self.assertRaises(
            ValueError, Rule, Cors(("https://a",), expose_headers=("*",), credentials=True)
        )

    def test_refuses_what_no_browser_says(self) -> None:
        for origin in (
            "example.org",
            "https://",
            "https://example.org/",
            "https://example.org/path",
            "https://*",
            "https://*example.org",
            "https://a.*.org",
            "https://example.org:99999999",
            "https://büro.example",
            "https://a.example\r\nX: y",
            "",
        ):
            self.assertRaises(ValueError, Rule, Cors((origin,)))

    def test_refuses_names_that_could_end_a_line(self) -> None:
        for names in (("X A",), ("X\r\nY",), ("",), ("é",)):
            for kind in ("methods", "headers", "expose_headers"):
                self.assertRaises(ValueError, Rule, Cors(("*",), **{kind: names}))


class Preflights(SynchronousTestCase):
    def ask(self, model: Cors, **more: bytes) -> dict[bytes, bytes]:
        said = {"origin": HERE, "access_control_request_method": b"PUT", **more}
        return split(Rule(model).preflight(fields(**said)))

    MODEL = Cors(
        ("https://app.example.org",), methods=("GET", "PUT"), headers=("X-A", "Content-Type")
    )
    VARY = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"

    def test_says_what_the_page_may(self) -> None:
        self.assertEqual(
            self.ask(self.MODEL, access_control_request_headers=b"content-type, x-a"),
            {
                b"vary": self.VARY,
                b"access-control-allow-origin": HERE,
                b"access-control-allow-methods": b"GET, PUT",
                b"access-control-allow-headers": b"content-type, x-a",
                b"access-control-max-age": b"600",
            },
        )

    def test_says_nothing_where_one_thing_may_not_be(self) -> None:
        for more in (
            {"origin": b"https://evil.example"},
            {"access_control_request_method": b"DELETE"},
            {"access_control_request_method": b"put"},
            {"access_control_request_headers": b"x-a, x-b"},
            {"access_control_request_headers": b"x-a,"},
        ):
            self.assertEqual(self.ask(self.MODEL, **more), {b"vary": self.VARY})

    def test_a_star_is_any_name_and_nothing_else(self) -> None:
        model = Cors(("https://app.example.org",), methods=("*",), headers=("*",), credentials=True)
        lines = self.ask(model, access_control_request_headers=b"x-b,x-c")
        self.assertEqual(lines[b"access-control-allow-methods"], b"PUT")
        self.assertEqual(lines[b"access-control-allow-headers"], b"x-b, x-c")
        self.assertEqual(lines[b"access-control-allow-credentials"], b"true")
        for more in (
            {"access_control_request_method": b"P\xffT"},
            {"access_control_request_headers": b"x b"},
        ):
            self.assertEqual(self.ask(model, **more), {b"vary": self.VARY})
