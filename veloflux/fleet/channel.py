"""The wire between the supervisor and one worker: frames over a Unix socket, and descriptors.

A frame is a 32-bit length and a message. AMP would not do: it limits a value to 64 KiB, and a
snapshot of ten thousand routes is some megabytes.

A descriptor travels beside the bytes (SCM_RIGHTS). The kernel hands it over together with the
bytes it was sent with, and Twisted attaches it to the *next* bytes it writes, which may belong to
an earlier frame still in its buffer: so a descriptor comes with its frame or before it, and both
keep their order. The receiver therefore queues descriptors, and a frame that owns one takes the
oldest.
"""

import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
from twisted.internet.interfaces import IAddress, IFileDescriptorReceiver
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from veloflux.fleet.messages import Door, Down, Listen, Message, Up, encode

# A worker's descriptors: for its end, for the board, and for what clients owe their limits.
CHANNEL_FD = 3
BOARD_FD = 4
LEDGER_FD = 5
MAX_FRAME_BYTES = 256 * 1024 * 1024

_Heard = TypeVar("_Heard", bound=Message)


@implementer(IFileDescriptorReceiver)
class Channel(Int32StringReceiver, Generic[_Heard]):
    """One end; `read` makes a message of a frame, `on_message` gets it with its descriptor.

    `on_lost` is told once, when the other end is gone or spoke nonsense.
    """

    MAX_LENGTH = MAX_FRAME_BYTES
    _log = Logger()

    def __init__(
        self,
        read: Callable[[bytes], _Heard],
        on_message: Callable[[_Heard, int | None], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._read = read
        self._on_message = on_message
        self._on_lost = on_lost
        self._descriptors: deque[int] = deque()

    def send(self, message: Down | Up, descriptor: int | None = None) -> None:
        """Send a message; `descriptor` is duplicated into the other process and stays ours.

        It must stay open until the bytes have left, which an answer to a later message proves.
        """
        if not self.connected:
            return
        if descriptor is not None:
            self.transport.sendFileDescriptor(descriptor)  # type: ignore[union-attr]  # a Unix transport
        self.send_frame(encode(message))

    def send_frame(self, frame: bytes) -> None:
        """Send a message that is encoded already, and has no descriptor."""
        if self.connected:
            self.sendString(frame)

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """Keep a descriptor for the frame it belongs to; no program we start may inherit it."""
        os.set_inheritable(descriptor, False)
        self._descriptors.append(descriptor)

    def stringReceived(self, string: bytes) -> None:
        """Hand on one message."""
        try:
            message = self._read(string)
        except msgspec.MsgspecError as error:
            self._log.error("a message on the channel makes no sense: {error}", error=error)
            self._abort()
            return
        descriptor = None
        if isinstance(message, Listen | Door):
            if not self._descriptors:
                self._log.error("no descriptor came for {message}", message=message)
                self._abort()
                return
            descriptor = self._descriptors.popleft()
        self._on_message(message, descriptor)

    def lengthLimitExceeded(self, length: int) -> None:
        """Give up: whatever this is, it is not our other end."""
        self._log.error("a frame of {length} bytes on the channel is too long", length=length)
        self._abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Release what was never claimed."""
        while self._descriptors:
            os.close(self._descriptors.popleft())
        self._on_lost()

    def _abort(self) -> None:
        # Frames that came in the same read would still be handed on.
        self.pauseProducing()
        self.transport.abortConnection()  # type: ignore[union-attr]  # a TCP-like transport


class _Only(ServerFactory):
    """Gives the one protocol there is to the one connection."""

    noisy = False

    def __init__(self, channel: Channel[Any]) -> None:
        self._channel = channel

    def buildProtocol(self, addr: IAddress | None) -> Channel[Any]:
        return self._channel


def adopt(reactor: Any, descriptor: int, channel: Channel[Any]) -> None:
    """Connect a channel over one end of a socket pair, which is duplicated: close yours."""
    os.set_blocking(descriptor, False)
    reactor.adoptStreamConnection(descriptor, socket.AF_UNIX, _Only(channel))
