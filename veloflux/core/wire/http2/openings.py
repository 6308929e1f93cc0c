"""Requests out of field blocks, with a memory: clients send the same block again and again."""

from veloflux.core.model.traffic import Limits
from veloflux.core.wire.http1 import REMEMBERED, RequestHead
from veloflux.core.wire.http2.memory import Memory
from veloflux.core.wire.http2.translation import NewKey, Opening, opening

# Pseudo-fields come on top of the limit for fields.
_PSEUDO_FIELDS = 5


class Openings(Memory[Opening]):
    """What a client's field blocks mean; `new_key` is as in `translation.opening`."""

    __slots__ = ("_last", "_limits", "_new_key")

    def __init__(self, limits: Limits, new_key: NewKey | None) -> None:
        super().__init__(
            limits.max_headers + _PSEUDO_FIELDS, limits.max_header_bytes + limits.max_target_bytes
        )
        self._limits = limits
        self._new_key = new_key
        self._last: RequestHead | None = None

    def read(self, block: bytes, ended: bool) -> Opening:
        """The request that `block` makes; with `ended` it has no body.

        Raises BrokenConnectionError and BrokenStreamError; after the latter the next block can be
        read.
        """
        known = self.recall(block, ended)
        if known is not None:
            return known
        fields = self.unpack(block)
        read = opening(fields, self._limits, self._last, self._new_key, ended=ended)
        head = read.head
        if head is not None:
            is_short = len(head.raw) <= REMEMBERED
            self._last = head if is_short else None
            # A tunnel's head has a key of its own.
            if is_short and not read.is_tunnel:
                self.keep(block, ended, read)
        return read
