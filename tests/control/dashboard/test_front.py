"""Who gets the page, who gets the API, and how the files are served."""

import gzip
from collections.abc import Mapping

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from tests.control.api.client import Response, parse
from veloflux.control.dashboard.front import Front, prefers_page
from veloflux.control.dashboard.shelf import File, built

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
SCRIPT = b"console.log('hello');" * 10
SHELF = {
    "/": File(b"<!doctype html>", gzip.compress(b"<!doctype html>"), "text/html", "page", False),
    "/assets/a.js": File(SCRIPT, gzip.compress(SCRIPT), "text/javascript", "script", True),
    "/assets/a.woff2": File(b"wOF2", None, "font/woff2", "font", True),
}


class Api(Resource):
    """Stands in for the API: says that it was asked."""

    isLeaf = True

    def render(self, request: Request) -> bytes:
        return b"the API"


def ask(
    path: str, method: str = "GET", shelf: Mapping[str, File] = SHELF, **fields: str
) -> Response:
    """Ask once; `If_None_Match="x"` is a header field."""
    site = Site(Front(Api(), shelf))
    channel = site.buildProtocol(None)
    transport = StringTransport()
    channel.makeConnection(transport)
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", "Connection: close", *lines])
    channel.dataReceived(f"{head}\r\n\r\n".encode())
    return parse(transport.value())


class Negotiation(SynchronousTestCase):
    """The page and the API share an address."""

    def test_gives_a_browser_the_page(self) -> None:
        self.assertEqual(ask("/", Accept=BROWSER).body, b"<!doctype html>")

    def test_gives_a_program_the_api(self) -> None:
        for accept in ("*/*", "application/json", "application/json, text/html", "image/png"):
            with self.subTest(accept):
                self.assertEqual(ask("/", Accept=accept).body, b"the API")
        self.assertEqual(ask("/").body, b"the API")

    def test_tells_caches_that_both_are_here(self) -> None:
        self.assertIn("Accept", ask("/", Accept=BROWSER).headers["vary"])
        self.assertIn("Accept", ask("/").headers["vary"])

    def test_weighs_what_is_liked(self) -> None:
        self.assertTrue(prefers_page("text/html, application/json;q=0.9"))
        self.assertFalse(prefers_page("text/html;q=0.5, application/json"))
        self.assertFalse(prefers_page("text/html;q=nonsense;;,"))
        self.assertFalse(prefers_page(None))

    def test_passes_on_what_it_does_not_have(self) -> None:
        for path in ("/api/status", "/assets/", "/assets/b.js", "/assets/../a.js", "/index.html"):
            with self.subTest(path):
                self.assertEqual(ask(path, Accept=BROWSER).body, b"the API")

    def test_passes_on_what_only_reads_in_name(self) -> None:
        self.assertEqual(ask("/", "POST", Accept=BROWSER).body, b"the API")
        self.assertEqual(ask("/assets/a.js", "DELETE").body, b"the API")


class Serving(SynchronousTestCase):
    """Files, as browsers and caches like them."""

    def test_lets_the_page_load_nothing_from_elsewhere(self) -> None:
        policy = ask("/", Accept=BROWSER).headers["content-security-policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertIn("script-src 'self'", policy)
        self.assertNotIn("unsafe", policy)
        self.assertNotIn("http", policy)

    def test_lets_named_for_content_be_kept_for_ever(self) -> None:
        self.assertIn("immutable", ask("/assets/a.js").headers["cache-control"])

    def test_has_the_page_asked_for_each_time(self) -> None:
        self.assertEqual(ask("/", Accept=BROWSER).headers["cache-control"], "no-cache")

    def test_compresses_for_who_understands_it(self) -> None:
        got = ask("/assets/a.js", Accept_Encoding="br, gzip")
        self.assertEqual(got.headers["content-encoding"], "gzip")
        self.assertEqual(gzip.decompress(got.body), SCRIPT)
        for accepted in ("", "br", "gzip;q=0", "identity"):
            with self.subTest(accepted):
                self.assertEqual(ask("/assets/a.js", Accept_Encoding=accepted).body, SCRIPT)

    def test_does_not_compress_twice(self) -> None:
        got = ask("/assets/a.woff2", Accept_Encoding="gzip")
        self.assertNotIn("content-encoding", got.headers)
        self.assertEqual(got.body, b"wOF2")

    def test_sends_nothing_that_is_known(self) -> None:
        tag = ask("/assets/a.js").headers["etag"]
        got = ask("/assets/a.js", If_None_Match=f'"other", W/{tag}')
        self.assertEqual((got.status, got.body, got.headers["etag"]), (304, b"", tag))

    def test_tells_the_compressed_from_the_plain(self) -> None:
        plain = ask("/assets/a.js").headers["etag"]
        got = ask("/assets/a.js", Accept_Encoding="gzip", If_None_Match=plain)
        self.assertEqual(got.status, 200)
        self.assertNotEqual(got.headers["etag"], plain)

    def test_answers_head_without_a_body(self) -> None:
        got = ask("/assets/a.js", "HEAD")
        self.assertEqual(got.body, b"")
        self.assertEqual(got.headers["content-length"], str(len(SCRIPT)))


class Built(SynchronousTestCase):
    """What comes with the package."""

    def test_serves_all_that_the_page_names(self) -> None:
        shelf = built()
        page = shelf["/"].content.decode()
        named = {"/" + part.partition('"')[0] for part in page.split('"./')[1:]}
        self.assertTrue(named)
        self.assertEqual(named - shelf.keys(), set())

    def test_knows_the_type_of_each(self) -> None:
        for path, file in built().items():
            with self.subTest(path):
                got = ask(path, shelf={path: file}, Accept=BROWSER)
                self.assertEqual(got.headers["content-type"], file.content_type)
