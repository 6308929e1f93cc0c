"""What a backend gets: the request that was meant, and nothing a client may not say."""

from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import OK, Rig, get, variant
from tests.support.oracles import Request


class Forwarding(SynchronousTestCase):
    """`forwarded` gives the request as the backend's parsers read it."""

    def setUp(self) -> None:
        self.rig = Rig(self)

    def forwarded(self, wire: bytes, peer: str = "198.51.100.7") -> Request:
        client = self.rig.client(peer)
        client.send(wire)
        request = self.rig.backend.request()
        self.rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)
        client.close()
        return request

    def lines(self, lines: bytes, peer: str = "198.51.100.7") -> Request:
        """Of a GET with these header lines."""
        return self.forwarded(get(lines=lines), peer)


class Framing(Forwarding):
    def test_white_space_around_a_length_is_none_of_it(self) -> None:
        """S7"""
        for value in (b"5", b" 5", b"5 ", b"\t5\t", b"   5   "):
            request = self.forwarded(
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:" + value + b"\r\n\r\nhello"
            )
            self.assertEqual(request.body, b"hello")
            self.assertEqual(request.field(b"content-length"), b"5")

    def test_a_coding_may_be_in_any_case(self) -> None:
        """S3"""
        for line in (
            b"Transfer-Encoding: chunked",
            b"transfer-encoding:CHUNKED",
            b"TRANSFER-ENCODING:\tChunked \t",
        ):
            request = self.forwarded(
                b"POST / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            )
            self.assertEqual(request.body, b"hello")
            self.assertEqual(request.field(b"transfer-encoding"), b"chunked")
            self.assertIsNone(request.field(b"content-length"))

    def test_a_name_with_an_underscore_is_dropped(self) -> None:
        """S4: some backends read it as a hyphen."""
        for name in (b"Transfer_Encoding", b"Content_Length", b"X_Forwarded_For", b"_", b"a_b"):
            request = self.lines(name + b": chunked\r\nX-Kept: yes\r\n")
            self.assertNotIn(name.lower(), [key for key, _ in request.fields])
            self.assertEqual(request.field(b"x-kept"), b"yes")
            self.assertEqual(request.body, b"")

    def test_a_length_of_nothing_is_kept(self) -> None:
        """S7"""
        request = self.forwarded(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(request.field(b"content-length"), b"0")

    def test_an_empty_line_before_a_request_is_skipped(self) -> None:
        """RFC 9112 section 2.2"""
        self.assertEqual(self.forwarded(b"\r\n" + get(b"/x")).target, b"/x")


class Untouched(Forwarding):
    def test_other_lines_go_on_as_they_came(self) -> None:
        """In their order, case and white space; odd ranges (L12) are for the backend to judge."""
        lines = (
            b"X-Odd:  a\tb  \r\nrange: bytes=" + b"0-," * 1000 + b"\r\nACCEPT:*/*\r\nEmpty:\r\n"
            b"Cookie: a=b\r\nX-Text: \xe9\xff\r\nCookie: c=d\r\n!#$%&'*+-.^`|~: 1\r\n"
            b'If-Range: "x"\r\nPriority: u=1\r\n'
        )
        self.lines(lines)
        self.assertIn(b"\r\n" + lines, self.rig.backend.received)

    def test_a_query_goes_on_as_it_came(self) -> None:
        """S22: it has no one form."""
        for query in (b"?", b"??", b"?a=%2f&b=%zz&c=../..//&d=%00", b"?\"'<>[]{}|^`\\"):
            self.assertEqual(self.forwarded(get(b"/x" + query)).target, b"/x" + query)


class HopByHop(Forwarding):
    def test_what_is_for_this_hop_goes_no_further(self) -> None:
        """S17"""
        request = self.lines(
            b"Connection: keep-alive, X-Mine\r\nKeep-Alive: timeout=5\r\nX-Mine: 1\r\n"
            b"Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\nTE: gzip\r\n"
            b"Upgrade: foo\r\nX-Kept: 1\r\n"
        )
        names = {name for name, _ in request.fields}
        self.assertIn(b"x-kept", names)
        gone = {b"connection", b"keep-alive", b"x-mine", b"proxy-connection", b"te", b"upgrade"}
        self.assertEqual(names & (gone | {b"proxy-authorization"}), set())

    def test_connection_names_more_than_one_line(self) -> None:
        """S17"""
        request = self.lines(
            b"Connection: X-A\r\nX-A: 1\r\nconnection: x-b ,X-C\r\nX-B: 2\r\nx-c: 3\r\nX-D: 4\r\n"
        )
        names = [name for name, _ in request.fields if name in (b"x-a", b"x-b", b"x-c", b"x-d")]
        self.assertEqual(names, [b"x-d"])

    def test_connection_cannot_take_away_what_matters(self) -> None:
        """S17: hop-by-hop header abuse"""
        for name in (
            b"Content-Length",
            b"Transfer-Encoding",
            b"Host",
            b"X-Forwarded-For",
            b"X-Forwarded-Proto",
            b"X-Forwarded-Host",
            b"Forwarded",
            b"Via",
            b"X-Request-ID",
            b"Authorization",
            b"Cookie",
            b"Content-Type",
        ):
            framing = b"Content-Length: 5\r\n\r\nhello"
            if name == b"Transfer-Encoding":
                framing = b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            with variant(name.decode()):
                request = self.forwarded(
                    b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close, " + name + b"\r\n"
                    b"Authorization: Bearer x\r\nCookie: a=b\r\nContent-Type: text/plain\r\n"
                    + framing
                )
                self.assertEqual(request.body, b"hello")
                self.assertIsNotNone(request.field(name.lower()))
                self.assertEqual(request.field(b"host"), b"a")

    def test_trailers_are_asked_for_on_this_hop_again(self) -> None:
        """RFC 9110 section 10.1.4"""
        request = self.lines(b"TE: trailers, deflate;q=0.5\r\nConnection: TE\r\n")
        self.assertEqual(request.field(b"te"), b"trailers")
        self.assertEqual(request.field(b"connection"), b"TE")

    def test_no_upgrade_to_h2c(self) -> None:
        """S18: it would carry requests past this hop's eyes."""
        for upgrade in (b"h2c", b"H2C", b"h2c, websocket", b"websocket, h2c", b"TLS/1.0"):
            request = self.lines(
                b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: " + upgrade + b"\r\n"
                b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
            )
            names = {name for name, _ in request.fields}
            self.assertEqual(names & {b"connection", b"upgrade", b"http2-settings"}, set())

    def test_an_upgrade_with_a_body_is_none(self) -> None:
        """S18"""
        request = self.forwarded(
            b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
            b"Content-Length: 5\r\n\r\nhello"
        )
        self.assertEqual(request.body, b"hello")
        self.assertIsNone(request.field(b"upgrade"))


class Places(Forwarding):
    def test_the_absolute_form_wins_over_host(self) -> None:
        """S20: RFC 9112 section 3.2.2"""
        for target, path, host in (
            (b"http://b.example/x?y", b"/x?y", b"b.example"),
            (b"HTTP://B.Example.:8080/x", b"/x", b"b.example:8080"),
            (b"http://b.example", b"/", b"b.example"),
            (b"http://b.example?y", b"/?y", b"b.example"),
            (b"http://[::1]:80/a/../b", b"/b", b"[::1]:80"),
        ):
            with variant(target.decode()):
                request = self.forwarded(b"GET %b HTTP/1.1\r\nHost: a.example\r\n\r\n" % target)
                self.assertEqual((request.target, request.field(b"host")), (path, host))
                self.assertEqual(request.field(b"x-forwarded-host"), host)
                self.assertIn(host, request.field(b"forwarded") or b"")
                self.assertNotIn(b"a.example", b"".join(value for _, value in request.fields))

    def test_https_is_not_asked_for_in_clear_text(self) -> None:
        """S20: RFC 9110 section 7.4"""
        client = self.rig.client()
        client.send(b"GET HTTPS://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n")
        self.assertEqual(client.answer().status, 421)
        self.assertEqual(self.rig.backend.attempts, 0)
        client.send(get())
        self.assertEqual(self.rig.backend.request().target, b"/")

    def test_the_absolute_form_is_of_one_request(self) -> None:
        """S20"""
        client = self.rig.client()
        client.send(b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        for host in (b"b", b"a"):
            request = self.rig.backend.request()
            self.assertEqual(request.field(b"x-forwarded-host"), host)
            self.assertEqual(request.field(b"host"), host)
            self.rig.backend.answer(OK)

    def test_two_slashes_are_a_path(self) -> None:
        """S20"""
        request = self.forwarded(get(b"//evil.example/x"))
        self.assertEqual(request.target, b"/evil.example/x")
        self.assertEqual(request.field(b"host"), b"example.org")

    def test_the_asterisk_is_for_options(self) -> None:
        """S20"""
        request = self.forwarded(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual((request.method, request.target), (b"OPTIONS", b"*"))

    def test_options_for_a_whole_host(self) -> None:
        """RFC 9112 section 3.2.4: the absolute form without a path and a query means the server."""
        for target, passed in (
            (b"http://b", b"*"),
            (b"HTTP://b:81", b"*"),
            (b"http://b/", b"/"),
            (b"http://b?x", b"/?x"),
        ):
            request = self.forwarded(b"OPTIONS %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
            self.assertEqual(request.target, passed, target)
        self.assertEqual(self.forwarded(b"GET http://b HTTP/1.1\r\nHost: a\r\n\r\n").target, b"/")

    def test_hosts_have_one_form(self) -> None:
        """S21"""
        for host, form in (
            (b"Example.ORG", b"example.org"),
            (b"example.org.", b"example.org"),
            (b"EXAMPLE.org.:8080", b"example.org:8080"),
            (b"example.org:", b"example.org"),
            (b"xn--bcher-kva.example", b"xn--bcher-kva.example"),
            (b"a_b.example", b"a_b.example"),
            (b"[2001:DB8::1]:80", b"[2001:db8::1]:80"),
            (b"192.0.2.1", b"192.0.2.1"),
            (b"a" * 253, b"a" * 253),
        ):
            self.assertEqual(self.forwarded(get(host=host)).field(b"host"), form)

    def test_paths_have_one_form(self) -> None:
        """S22: route, policies and backend see the same."""
        for path, form in (
            (b"/", b"/"),
            (b"/a/../admin", b"/admin"),
            (b"/a/%2e%2e/admin", b"/admin"),
            (b"/a/.%2E/admin", b"/admin"),
            (b"/./a/./b/.", b"/a/b/"),
            (b"/a/b/..", b"/a/"),
            (b"/a/..", b"/"),
            (b"//admin", b"/admin"),
            (b"/a//b///c", b"/a/b/c"),
            (b"/%2561dmin", b"/%2561dmin"),
            (b"/%61dmin", b"/admin"),
            (b"/%7euser", b"/~user"),
            (b"/admin;x=1", b"/admin;x=1"),
            (b"/ADMIN", b"/ADMIN"),
            (b"/a%20b", b"/a%20b"),
            (b"/a%c3%a9", b"/a%C3%A9"),
            (b"/a%0d%0aX:y", b"/a%0D%0AX:y"),
            (b"/.../x", b"/.../x"),
            (b"/.well-known/x", b"/.well-known/x"),
            (b"/a?b=/../c&d=%2f%00#"[:-1], b"/a?b=/../c&d=%2f%00"),
            (b"/a??b", b"/a??b"),
            (b"/a?", b"/a?"),
        ):
            with variant(path.decode()):
                self.assertEqual(self.forwarded(get(path)).target, form)

    def test_a_client_without_a_host_gets_the_backends(self) -> None:
        """S21: HTTP/1.0"""
        request = self.forwarded(b"GET / HTTP/1.0\r\n\r\n")
        self.assertEqual(request.field(b"host"), b"10.0.0.1:80")
        self.assertIsNone(request.field(b"x-forwarded-host"))

    def test_what_no_gateway_does(self) -> None:
        """CONNECT and TRACE, in all their forms"""
        for line in (
            b"CONNECT example.org:443",
            b"CONNECT *",
            b"CONNECT http://a/",
            b"CONNECT /",
            b"TRACE /",
            b"TRACE http://a/",
        ):
            with variant(line.decode()):
                client = self.rig.client()
                client.send(line + b" HTTP/1.1\r\nHost: a\r\n\r\n")
                self.assertEqual(client.answer().status, 501)
                client.close()
        self.assertEqual(self.rig.backend.attempts, 0)

    def test_options_that_may_go_one_hop_less(self) -> None:
        """RFC 9110 section 7.6.2: an intermediary counts down, from the most that it knows; what is
        no count goes on as it is"""
        for said, passed in (
            (b"5", b"4"),
            (b"1", b"0"),
            (b"010", b"9"),
            (b"x", b"x"),
            (b"-1", b"-1"),
            (b"9" * 5000, b"999999998"),
        ):
            rig = Rig(self)
            client = rig.client()
            client.send(b"OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: %b\r\n\r\n" % said)
            with variant(said.decode()):
                rig.backend.request()
                self.assertIn(b"Max-Forwards: %b\r\n" % passed, rig.backend.connection.received)

    def test_options_that_may_go_no_further(self) -> None:
        """RFC 9110 section 7.6.2"""
        client = self.rig.client()
        for said in (b"0", b"00"):
            client.send(b"OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: %b\r\n\r\n" % said)
            self.assertEqual(client.answer().status, 204)
        self.assertEqual(self.rig.backend.attempts, 0)
        self.assertIsNone(client.ending)


class Identity(Forwarding):
    """S27: who the client is"""

    LIES = (
        b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n"
        b"X-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /x\r\nX-Forwarded-User: root\r\n"
        b"Forwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nX-Request-ID: mine\r\n"
        b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
        b"tracestate: a=b\r\nx_forwarded_for: 1.2.3.4\r\n"
    )

    def test_a_client_cannot_say_who_it_is(self) -> None:
        """S27"""
        request = self.lines(self.LIES)
        self.assertEqual(request.field(b"x-forwarded-for"), b"198.51.100.7")
        self.assertEqual(request.field(b"x-forwarded-proto"), b"http")
        self.assertEqual(request.field(b"x-forwarded-host"), b"example.org")
        self.assertEqual(
            request.field(b"forwarded"), b"for=198.51.100.7;proto=http;host=example.org"
        )
        self.assertEqual(request.field(b"via"), b"1.1 veloflux")
        self.assertNotEqual(request.field(b"x-request-id"), b"mine")
        text = b"\n".join(name + b": " + value for name, value in request.fields)
        for lie in (b"1.2.3.4", b"https", b"evil", b"port", b"prefix", b"root", b"real", b"trace"):
            self.assertNotIn(lie, text)

    def test_each_address_in_its_form(self) -> None:
        """RFC 7239 section 6: an IPv6 address is quoted, and so is a port"""
        request = self.forwarded(get(host=b"[::2]:80"), "2001:db8::7")
        self.assertEqual(request.field(b"x-forwarded-for"), b"2001:db8::7")
        self.assertEqual(
            request.field(b"forwarded"), b'for="[2001:db8::7]";proto=http;host="[::2]:80"'
        )

    def test_a_host_that_is_no_token_is_quoted(self) -> None:
        """RFC 7239 section 4: an equals sign would begin another value"""
        request = self.forwarded(get(host=b"a=b"))
        self.assertEqual(request.field(b"forwarded"), b'for=198.51.100.7;proto=http;host="a=b"')

    def test_via_tells_the_version_that_was_received(self) -> None:
        """RFC 9110 section 7.6.3"""
        for version in (b"1.0", b"1.1"):
            request = self.forwarded(b"GET / HTTP/" + version + b"\r\nHost: a\r\n\r\n")
            self.assertEqual(request.field(b"via"), version + b" veloflux")

    def test_vias_add_up(self) -> None:
        """RFC 9110 section 7.6.3"""
        request = self.lines(b"Via: 1.0 one, 1.1 two\r\n")
        values = [value for name, value in request.fields if name == b"via"]
        self.assertEqual(values, [b"1.0 one, 1.1 two", b"1.1 veloflux"])


class Trust(Forwarding):
    """S27: proxies before this one"""

    def setUp(self) -> None:
        trusted = ("10.0.0.0/8", "2001:db8::/32")
        self.rig = Rig(self, listener={"trusted_proxies": trusted})

    def test_a_trusted_proxy_is_believed(self) -> None:
        """S27"""
        request = self.lines(Identity.LIES, "10.1.2.3")
        self.assertEqual(request.field(b"x-forwarded-for"), b"1.2.3.4, 10.1.2.3")
        self.assertEqual(request.field(b"x-forwarded-proto"), b"https")
        self.assertEqual(request.field(b"x-forwarded-host"), b"evil")
        self.assertEqual(request.field(b"x-forwarded-port"), b"1")
        self.assertEqual(request.field(b"x-real-ip"), b"1.2.3.4")
        self.assertEqual(request.field(b"x-request-id"), b"mine")
        self.assertEqual(request.field(b"tracestate"), b"a=b")
        self.assertEqual(
            request.field(b"forwarded"),
            b"for=1.2.3.4, for=10.1.2.3;proto=http;host=example.org",
        )
        entry = self.rig.entry()
        self.assertEqual((entry["client_ip"], entry["peer_ip"]), ("1.2.3.4", "10.1.2.3"))
        self.assertEqual(entry["request_id"], "mine")

    def test_nobody_else_is(self) -> None:
        """S27"""
        request = self.lines(Identity.LIES, "11.1.2.3")
        self.assertEqual(request.field(b"x-forwarded-for"), b"11.1.2.3")
        self.assertEqual(self.rig.entry()["client_ip"], "11.1.2.3")

    def test_an_underscore_is_believed_of_nobody(self) -> None:
        """S4"""
        request = self.lines(b"X_Forwarded_For: 1.2.3.4\r\n", "10.1.2.3")
        self.assertEqual(request.field(b"x-forwarded-for"), b"10.1.2.3")

    def test_the_client_is_the_last_that_no_proxy_vouches_for(self) -> None:
        """R1: what stands before it anybody could have written."""
        cases = (
            (b"1.2.3.4", "1.2.3.4"),
            (b"6.6.6.6, 1.2.3.4", "1.2.3.4"),
            (b"6.6.6.6, 1.2.3.4, 10.9.9.9", "1.2.3.4"),
            (b"1.2.3.4, 2001:db8::9", "1.2.3.4"),
            (b"1.2.3.4,10.9.9.9,10.8.8.8", "1.2.3.4"),
            (b"[2a00::1]", "2a00::1"),
            (b"10.7.7.7", "10.7.7.7"),
            (b"6.6.6.6, unknown", "10.1.2.3"),
            (b"6.6.6.6, _hidden, 10.9.9.9", "10.9.9.9"),
            (b"6.6.6.6, ", "10.1.2.3"),
            (b"", "10.1.2.3"),
            (b'::1%"}{"x', "10.1.2.3"),
            (b"fe80::1%eth0", "10.1.2.3"),
            (b"1.2.3.4\xff", "10.1.2.3"),
        )
        for value, _ in cases:
            self.lines(b"X-Forwarded-For: " + value + b"\r\n", "10.1.2.3")
        for (value, client), entry in zip(cases, self.rig.entries(len(cases)), strict=True):
            self.assertEqual(entry["client_ip"], client, value)

    def test_lines_of_addresses_are_one_list(self) -> None:
        """RFC 9110 section 5.3"""
        request = self.lines(
            b"X-Forwarded-For: 6.6.6.6\r\nX: y\r\nX-Forwarded-For: 1.2.3.4\r\n", "10.1.2.3"
        )
        self.assertEqual(request.field(b"x-forwarded-for"), b"6.6.6.6, 1.2.3.4, 10.1.2.3")
        self.assertEqual(self.rig.entry()["client_ip"], "1.2.3.4")

    def test_clients_of_one_connection_are_told_apart(self) -> None:
        """R1"""
        client = self.rig.client("10.1.2.3")
        for address in (b"1.1.1.1", b"2.2.2.2", b"2.2.2.2"):
            client.send(get(lines=b"X-Forwarded-For: " + address + b"\r\n"))
            request = self.rig.backend.request()
            self.assertEqual(request.field(b"x-forwarded-for"), address + b", 10.1.2.3")
            self.rig.backend.answer(OK)
        client.send(get())
        self.rig.backend.answer(OK)
        clients = [entry["client_ip"] for entry in self.rig.entries(4)]
        self.assertEqual(clients, ["1.1.1.1", "2.2.2.2", "2.2.2.2", "10.1.2.3"])

    def test_a_trusted_proxy_may_have_ended_tls(self) -> None:
        """RFC 9110 section 7.4"""
        wire = b"GET https://a.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n"
        self.assertEqual(self.forwarded(wire, "10.1.2.3").target, b"/x")

    def test_an_odd_request_id_is_replaced(self) -> None:
        """S27"""
        for odd in (b"a b", b'"', b"x" * 129, b"", b"a,b", b"<x>", b"\xe9"):
            request = self.lines(b"X-Request-ID: " + odd + b"\r\n", "10.1.2.3")
            self.assertNotEqual(request.field(b"x-request-id"), odd)
        request = self.lines(b"X-Request-ID: a\r\nX-Request-ID: b\r\n", "10.1.2.3")
        self.assertNotIn(request.field(b"x-request-id"), (b"a", b"b", b"a, b"))

    def test_an_answer_carries_the_id_of_its_request(self) -> None:
        """S27"""
        client = self.rig.client("10.1.2.3")
        client.send(get(lines=b"X-Request-ID: mine\r\n"))
        self.rig.backend.answer(b"HTTP/1.1 204 No Content\r\nX-Request-ID: theirs\r\n\r\n")
        self.assertEqual(client.answer().field(b"x-request-id"), b"mine")
