"""RFC 7541 beside hpack's own encoder and decoder."""

import hpack
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.wire.http2.error import BrokenConnectionError
from veloflux.core.wire.http2.packing import NO_TABLE, answer_block, trailer_block
from veloflux.core.wire.http2.unpacking import TABLE_BYTES, Unpacker

_NAMES = st.one_of(
    st.sampled_from((b":path", b":method", b"cookie", b"accept", b"x-long-name", b"set-cookie")),
    st.binary(min_size=1, max_size=8),
)
_VALUES = st.one_of(
    st.sampled_from((b"", b"GET", b"/", b"gzip, deflate", b"x" * 200)), st.binary(max_size=20)
)
_FIELDS = st.lists(st.tuples(_NAMES, _VALUES, st.booleans()), max_size=12)
_SIZES = st.one_of(st.none(), st.integers(0, TABLE_BYTES))
_LINE_NAMES = st.sampled_from(
    (
        b"Content-Type",
        b"Server",
        b"X-A",
        b"Set-Cookie",
        b"Vary",
        b"ETag",
        b"Accept-Encoding",
        b"Via",
    )
)
_LINE_VALUES = st.one_of(
    st.sampled_from((b"", b"gzip, deflate", b"text/html; charset=utf-8", b"v" * 300)),
    st.text('aZ0 ;,/"é', max_size=30).map(lambda text: text.encode("latin-1").strip(b" ")),
)


def unpacker() -> Unpacker:
    return Unpacker(10_000, 1 << 30)


class Unpacking(SynchronousTestCase):
    @given(st.lists(st.tuples(_SIZES, _FIELDS, st.booleans()), max_size=6))
    def test_reads_what_hpack_writes(
        self, blocks: list[tuple[int | None, list[tuple[bytes, bytes, bool]], bool]]
    ) -> None:
        """Block after block, with a table that grows and shrinks"""
        encoder, ours = hpack.Encoder(), unpacker()
        for size, fields, is_coded in blocks:
            if size is not None:
                encoder.header_table_size = size
            block = encoder.encode(list(fields), huffman=is_coded)
            self.assertEqual(ours.unpack(block), [(name, value) for name, value, _ in fields])

    @settings(max_examples=300)
    @given(st.lists(st.binary(max_size=24), max_size=5))
    def test_reads_any_bytes_as_hpack_does(self, blocks: list[bytes]) -> None:
        """The same fields or an error on both sides; we are stricter on sizes and lengths alone"""
        theirs, ours = hpack.Decoder(), unpacker()
        for block in blocks:
            try:
                found = ours.unpack(block)
            except BrokenConnectionError:
                return
            self.assertEqual(found, [tuple(field) for field in theirs.decode(block, raw=True)])

    @given(_FIELDS, st.data())
    def test_a_block_cut_short_is_no_block(
        self, fields: list[tuple[bytes, bytes, bool]], data: st.DataObject
    ) -> None:
        """Or a shorter one, where a field ends"""
        block = hpack.Encoder().encode(list(fields))
        cut = data.draw(st.integers(0, len(block)))
        try:
            found = unpacker().unpack(block[:cut])
        except BrokenConnectionError:
            return
        assert found is not None
        self.assertEqual(found, [(name, value) for name, value, _ in fields][: len(found)])

    def test_counts_the_changes_of_its_table(self) -> None:
        """What does not change it may be remembered"""
        ours = unpacker()
        for block, changes in ((b"\x82", 0), (b"\x00\x01a\x01b", 0), (b"\x40\x01a\x01b", 1)):
            ours.unpack(block)
            self.assertEqual(ours.changes, changes)
        ours.unpack(b"\x20\x82")
        self.assertEqual(ours.changes, 2)

    def test_refuses_a_number_that_is_longer_than_it_need_be(self) -> None:
        """7541 5.1: or there would be no end to how long one takes"""
        for zeros, is_read in ((4, True), (5, False), (16_000, False)):
            block = b"\x00\x01a\x7f" + b"\x80" * zeros + b"\x00" + b"v" * 127
            if is_read:
                self.assertEqual(unpacker().unpack(block), [(b"a", b"v" * 127)])
            else:
                self.assertRaises(BrokenConnectionError, unpacker().unpack, block)

    def test_says_when_fields_are_too_many_and_goes_on(self) -> None:
        """H4: the table is right for what follows"""
        ours = Unpacker(3, 100)
        self.assertIsNone(ours.unpack(b"\x82" * 4 + b"\x40\x01a\x01b"))
        self.assertEqual(ours.unpack(b"\xbe"), [(b"a", b"b")])
        self.assertIsNone(ours.unpack(b"\x00\x01a\x64" + b"y" * 100))
        self.assertRaises(BrokenConnectionError, ours.unpack, b"\x82" * 13)


class Packing(SynchronousTestCase):
    @given(st.lists(st.lists(st.tuples(_LINE_NAMES, _LINE_VALUES), max_size=8), max_size=4))
    def test_hpack_reads_what_it_writes(self, answers: list[list[tuple[bytes, bytes]]]) -> None:
        theirs = hpack.Decoder()
        before = NO_TABLE
        for fields in answers:
            lines = b"".join(b"%b: %b\r\n" % field for field in fields)
            block = before + answer_block(b"200", lines, b"id-1")
            before = b""
            self.assertEqual(
                [tuple(field) for field in theirs.decode(block, raw=True)],
                [
                    (b":status", b"200"),
                    *[(name.lower(), value) for name, value in fields],
                    (b"x-request-id", b"id-1"),
                ],
            )
            self.assertFalse(theirs.header_table.dynamic_entries)

    def test_needs_no_room_in_the_clients_table(self) -> None:
        """7541 4.2: whatever the client allows, and whenever it says so"""
        theirs = hpack.Decoder()
        theirs.max_allowed_table_size = 0
        self.assertRaises(hpack.HPACKError, theirs.decode, answer_block(b"200", b""))
        theirs.decode(NO_TABLE + answer_block(b"200", b""))
        theirs.decode(answer_block(b"200", b""))

    def test_leaves_out_what_is_the_connections(self) -> None:
        """8.2.2"""
        lines = (
            b"Connection: close\r\nKeep-Alive: 5\r\nTransfer-Encoding: chunked\r\n"
            b"Upgrade: h2c\r\nProxy-Connection: close\r\nX: y\r\n"
        )
        self.assertEqual(trailer_block(lines), b"\x00\x01x\x01y")

    def test_keeps_cookies_out_of_tables(self) -> None:
        """7541 7.1.3: also those of proxies behind us"""
        (field,) = hpack.Decoder().decode(trailer_block(b"Set-Cookie: a=b\r\n"), raw=True)
        self.assertFalse(field.indexable)

    def test_common_fields_are_short(self) -> None:
        self.assertEqual(answer_block(b"200", b""), b"\x88")
        lines = b"Content-Type: text/html; charset=utf-8\r\nServer: nginx\r\n"
        self.assertLess(len(answer_block(b"200", lines)), len(lines) * 3 // 4)
