"""What a client did, as told to whoever serves it."""

from typing import NamedTuple

from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.http1 import RequestHead
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


class Came(NamedTuple):
    """Some of a request's body, to be acknowledged when it is used up. With `ended` it is the
    last, and may be empty; `trailers` are field lines."""

    stream: int
    data: bytes
    ended: bool
    trailers: bytes = b""


class Cancelled(NamedTuple):
    """A stream is gone, by the client's reset or because of what it did wrong (`kind`): stop the
    work for it. There is nobody to answer."""

    stream: int
    code: int
    by_client: bool
    kind: str = ""


class Drained(NamedTuple):
    """All that was written to a stream has been sent: more is welcome."""

    stream: int


class Leaving(NamedTuple):
    """The client will open no more streams."""

    code: int


class Failed(NamedTuple):
    """The connection is over: send what there is to send, and close."""

    code: Code
    kind: str
    detail: str


Event = Requested | Refused | Came | Cancelled | Drained | Leaving | Failed
