"""Requests out of field blocks, with a memory: clients send the same block again and again, and
it means the same for as long as the compression's table stands."""

from veloflux.core.model.traffic import Limits
from veloflux.core.wire.http1 import REMEMBERED, RequestHead
from veloflux.core.wire.http2.translation import NewKey, Opening, opening
from veloflux.core.wire.http2.unpacking import Fields, Unpacker

# Pseudo-fields come on top of the limit for fields.
_PSEUDO_FIELDS = 5
# Blocks that are remembered, and the most bytes of one.
_BLOCKS = 8
_LONGEST_BLOCK = 1024


class Openings:
    """What a connection's field blocks mean; `new_key` is as in `translation.opening`."""

    __slots__ = ("_known", "_known_at", "_last", "_limits", "_new_key", "_unpacker")

    def __init__(self, limits: Limits, new_key: NewKey | None) -> None:
        self._limits = limits
        self._new_key = new_key
        self._unpacker = Unpacker(
            limits.max_headers + _PSEUDO_FIELDS, limits.max_header_bytes + limits.max_target_bytes
        )
        self._known: dict[tuple[bytes, bool], Opening] = {}
        self._known_at = 0
        self._last: RequestHead | None = None

    def unpack(self, block: bytes) -> Fields | None:
        """The fields of a block that opens no stream; as `Unpacker.unpack`."""
        return self._unpacker.unpack(block)

    def read(self, block: bytes, ended: bool) -> Opening:
        """The request that `block` makes; with `ended` it has no body.

        Raises BrokenConnectionError and BrokenStreamError; after the latter the next block can be
        read.
        """
        unpacker = self._unpacker
        if unpacker.changes != self._known_at:
            self._known.clear()
            self._known_at = unpacker.changes
        known = self._known.get((block, ended))
        if known is not None:
            return known
        fields = unpacker.unpack(block)
        read = opening(fields, self._limits, self._last, self._new_key, ended=ended)
        head = read.head
        if head is not None:
            is_short = len(head.raw) <= REMEMBERED
            self._last = head if is_short else None
            # A tunnel's head has a key of its own.
            is_lasting = unpacker.changes == self._known_at and not read.is_tunnel
            if is_lasting and is_short and len(block) <= _LONGEST_BLOCK:
                if len(self._known) == _BLOCKS:
                    self._known.clear()
                self._known[block, ended] = read
        return read
