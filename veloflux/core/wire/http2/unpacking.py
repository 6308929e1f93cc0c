"""Field blocks out of HPACK (RFC 7541), with hpack's table and Huffman code.

The loop is our own: it bounds the fields while they are read, it copies nothing but what it keeps,
and it says when the table changed, so that a block without such a change can be remembered.
"""

from hpack.exceptions import HPACKError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from veloflux.core.wire.http2.error import BrokenConnectionError, Code, calm_down

Fields = list[tuple[bytes, bytes]]

_STATIC = ((b"", b""), *HeaderTable.STATIC_TABLE)
# The size of the table when nobody says anything of it, as we do not.
TABLE_BYTES = 4096
_FIELD_OVERHEAD = 32
# Over the limit by so many times, a list is not even read to its end.
_BEYOND = 4
# Any more bits would be over all sizes there are here.
_MAX_SHIFT = 28
# One to shrink the table, one to grow it again (RFC 7541 section 4.2).
_MAX_RESIZES = 2


class Unpacker:
    """One direction's decoder; `changes` counts how often its table changed."""

    __slots__ = ("_max_bytes", "_max_fields", "_table", "changes")

    def __init__(self, max_fields: int, max_bytes: int) -> None:
        self._table = HeaderTable()
        self._max_fields = max_fields
        self._max_bytes = max_bytes
        self.changes = 0

    def unpack(self, block: bytes) -> Fields | None:
        """The fields of `block`, or None when they are over the limits; each crumb of a cookie
        counts as one.

        Raises BrokenConnectionError: what follows could not be read.
        """
        try:
            return self._read(block)
        except (HPACKError, IndexError) as error:
            raise BrokenConnectionError(
                Code.COMPRESSION_ERROR, "hpack", "The field block is malformed."
            ) from error

    def _read(self, block: bytes) -> Fields | None:
        table = self._table
        fields: Fields = []
        count = size = at = resizes = 0
        end = len(block)
        while at < end:
            octet = block[at]
            if octet & 0x80:
                index, at = _number(block, at, 0x7F)
                entry = _STATIC[index] if 0 < index < len(_STATIC) else table.get_by_index(index)
            elif octet & 0x60 == 0x20:
                at = self._resize(block, at)
                resizes += 1
                if count or resizes > _MAX_RESIZES:
                    raise HPACKError("a table size out of place")
                continue
            else:
                index, at = _number(block, at, 0x3F if octet & 0x40 else 0x0F)
                if index:
                    name = table.get_by_index(index)[0]
                else:
                    name, at = _string(block, at)
                value, at = _string(block, at)
                entry = (name, value)
                if octet & 0x40:
                    table.add(name, value)
                    self.changes += 1
            count += 1
            size += len(entry[0]) + len(entry[1])
            if count <= self._max_fields and size <= self._max_bytes:
                fields.append(entry)
            elif count > self._max_fields * _BEYOND or size > self._max_bytes * _BEYOND:
                raise calm_down("The field block holds too many fields.")
        return fields if count == len(fields) else None

    def _resize(self, block: bytes, at: int) -> int:
        size, at = _number(block, at, 0x1F)
        if size > TABLE_BYTES:
            raise HPACKError("a table larger than was allowed")
        self._table.maxsize = size
        self.changes += 1
        return at


def _number(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """An integer that begins in the bits of `mask` (RFC 7541 section 5.1), and where it ends."""
    value = block[at] & mask
    at += 1
    if value < mask:
        return value, at
    shift = 0
    while True:
        octet = block[at]
        at += 1
        value += (octet & 0x7F) << shift
        if octet < 0x80:
            return value, at
        shift += 7
        if shift > _MAX_SHIFT:
            raise HPACKError("a number too large")


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    is_coded = block[at] & 0x80
    length, at = _number(block, at, 0x7F)
    end = at + length
    if end > len(block):
        raise HPACKError("a string cut short")
    text = block[at:end]
    return decode_huffman(text) if is_coded else text, end
