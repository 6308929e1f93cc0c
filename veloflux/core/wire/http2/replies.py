"""Answers out of field blocks: from HTTP/2's fields to a head in HTTP/1.1's grammar, which is a
security boundary as `translation` is. A backend is not trusted with more than a client.

What is wrong with an answer ends its stream, as HTTP/2 has it (RFC 9113 section 8.1.1).
"""

import re

from veloflux.core.wire.answer import reason
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.http1 import MAX_RESPONSE_HEAD, REMEMBERED, ResponseHead, read_response
from veloflux.core.wire.http2.error import malformed
from veloflux.core.wire.http2.memory import Memory
from veloflux.core.wire.http2.translation import CONNECTION, check_lines
from veloflux.core.wire.http2.unpacking import Fields

# An answer with more fields means harm.
_MAX_FIELDS = 1000
_STATUS = re.compile(rb"[1-5][0-9][0-9]")


class Replies(Memory[ResponseHead]):
    """What a server's field blocks mean."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        super().__init__(_MAX_FIELDS, MAX_RESPONSE_HEAD)
        self._last: ResponseHead | None = None

    def read(self, block: bytes) -> ResponseHead:
        """The head that `block` makes. Raises BrokenConnectionError, and BrokenStreamError, after
        which the next block can be read."""
        known = self.recall(block, False)
        if known is not None:
            return known
        raw = _raw(self.unpack(block))
        try:
            head = read_response(raw, self._last)
        except ProtocolError as problem:
            raise malformed(problem.detail) from problem
        assert head is not None
        assert len(head.raw) == len(raw)
        if len(raw) <= REMEMBERED:
            self._last = head
            self.keep(block, False, head)
        return head


def _raw(fields: Fields | None) -> bytes:
    """The head as HTTP/1.1 has it; `fields` are None when there were too many."""
    if fields is None:
        raise malformed("The answer's fields are too many or too large.")
    name, status = fields[0] if fields else (b"", b"")
    if name != b":status" or _STATUS.fullmatch(status) is None:
        raise malformed("The answer does not begin with a status.")
    if status == b"101":
        raise malformed("There is no switching of protocols in HTTP/2.")
    lines = b"".join([b"%b: %b\r\n" % field for field in fields[1:]])
    # A pseudo-field among them fails here: its name is not a token.
    check_lines(lines, len(fields) - 1)
    if any(name in CONNECTION for name, _ in fields):
        raise malformed("A field is about the connection.")
    return b"HTTP/1.1 %b\r\n%b\r\n" % (reason(int(status)), lines)
