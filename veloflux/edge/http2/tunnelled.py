"""A stream as one end of a tunnel (RFC 8441): its bytes are a WebSocket's, the end of its frames is
that of one direction, and a reset is what a reset is for TCP."""

from typing import TYPE_CHECKING

from veloflux.core.wire.http2.error import Code
from veloflux.edge.bridge import Bridge
from veloflux.edge.http2.flow import Flow
from veloflux.edge.tunnel import Tunnel

if TYPE_CHECKING:
    from veloflux.edge.http2.connection import Http2


class Tunnelled(Flow):
    """Mixed into a client's stream; `tunnel` is there once a backend has switched."""

    connection: "Http2"
    bridge: Bridge | None = None
    tunnel: Tunnel | None = None

    # What came and has nowhere to go yet, no more than the window; and whether that is all.
    _early = b""
    _is_whole = False

    def answered(self) -> None:
        """The client has all, or will have it when its windows are open again."""
        raise NotImplementedError

    def leave(self) -> None:
        """The stream is over."""
        raise NotImplementedError

    def become_tunnel(self, tunnel: Tunnel) -> None:
        """From now on bytes go to `tunnel`, unread; those that came early first."""
        self.tunnel = tunnel
        self.bridge = None
        early, self._early = self._early, b""
        if early or self._is_whole:
            self.into_tunnel(tunnel, early, self._is_whole)
            self.connection.flush()

    def into_tunnel(self, tunnel: Tunnel, data: bytes, is_whole: bool) -> None:
        """Some of what its client sends, and whether that is the last."""
        if data:
            tunnel.from_client(data)
            self.used(len(data))
        if is_whole:
            tunnel.client_finished()

    @property
    def connected(self) -> bool:
        """Whether the stream is there."""
        return self.number in self.connection.streams

    def write(self, data: bytes) -> None:
        self.codec.data(self.number, data)
        self.connection.flush()
        self.hold_back()

    def loseWriteConnection(self) -> None:
        self.codec.data(self.number, b"", ended=True)
        self.connection.flush()

    def loseConnection(self) -> None:
        if self.connected:
            self.loseWriteConnection()
            self.answered()

    def abortConnection(self) -> None:
        if self.connected:
            self.codec.reset(self.number, Code.CANCEL)
            self.connection.flush()
            self.leave()
