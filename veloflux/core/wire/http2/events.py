"""What the peer did, as told to whoever serves it, or asked it."""

from typing import NamedTuple

from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.http1 import RequestHead, ResponseHead
from veloflux.core.wire.http2.error import Code


class Requested(NamedTuple):
    """A request began; with `ended` it has no body. A WebSocket's opening comes as the GET that it
    would be in HTTP/1.1 (`head.fields.upgrade`), and then `is_tunnel`: once it is answered 200,
    bytes go both ways."""

    stream: int
    head: RequestHead
    ended: bool
    is_tunnel: bool


class Refused(NamedTuple):
    """A request is not to be forwarded: answer it as `problem` says. Its body is not heard of."""

    stream: int
    problem: ProtocolError
    method: bytes


class Answered(NamedTuple):
    """The head of an answer, or an interim one (1xx); with `ended` it has no body."""

    stream: int
    head: ResponseHead
    ended: bool


class Came(NamedTuple):
    """Some of a body, to be acknowledged when it is used up. With `ended` it is the
    last, and may be empty; `trailers` are field lines."""

    stream: int
    data: bytes
    ended: bool
    trailers: bytes = b""


class Cancelled(NamedTuple):
    """A stream is gone, by the peer's reset or because of what it did wrong (`kind`): stop the
    work for it. There is nobody to answer. A server that has not begun with a request says
    REFUSED_STREAM, as its GOAWAY means for all that it leaves out."""

    stream: int
    code: int
    by_peer: bool
    kind: str = ""


class Drained(NamedTuple):
    """All that was written to a stream has been sent: more is welcome, unless that was the end."""

    stream: int


class Leaving(NamedTuple):
    """The peer will open no more streams, or take no more."""

    code: int


class Failed(NamedTuple):
    """The connection is over: send what there is to send, and close."""

    code: Code
    kind: str
    detail: str


Event = Requested | Refused | Answered | Came | Cancelled | Drained | Leaving | Failed
