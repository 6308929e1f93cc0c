"""Connections whose pool is chosen by the host that their TLS asks for: its first message is read
here, and goes on with all that follows, unchanged."""

from typing import TYPE_CHECKING

from veloflux.core.policy.server_name import Names, server_name
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.hello import UNRECOGNIZED_NAME, Reader
from veloflux.core.wire.preface import Preface
from veloflux.edge.preface import Prefaced
from veloflux.edge.relay import Relay
from veloflux.edge.terms import Agreement

if TYPE_CHECKING:
    from veloflux.edge.listener import Listener

_NO_NAMES = Names(())


class Greeted(Prefaced):
    """Waits for the first message of one connection, and hands the connection on."""

    protocol_name = "tls"
    # What a PROXY header said of the connection, and who sent it.
    preface: Preface | None = None
    sender = ""
    # It ends no TLS.
    agreement: Agreement | None = None

    def __init__(self, listener: "Listener", peer: str) -> None:
        super().__init__(listener, peer)
        self._reader = Reader()
        self._said = bytearray()

    def dataReceived(self, data: bytes) -> None:
        self._said += data
        # Not nothing.
        self._buffer = data
        try:
            said = self._reader.feed(data)
        except ProtocolError as problem:
            self._refuse(problem.kind)
            return
        if said is not None:
            self._go_on(server_name(said))

    def _go_on(self, name: str) -> None:
        listener = self.listener
        pool = None if listener.by_name is None else listener.by_name.find(name)
        if pool is None or listener.is_removed:
            listener.count_error("tls", "unrecognized_name")
            self._buffer = b""
            self.transport.write(UNRECOGNIZED_NAME)
            self.transport.loseConnection()
            return
        relay = Relay(listener, self.peer, pool)
        relay.preface = self.preface
        relay.sender = self.sender
        relay.agreement = Agreement("", "", name, b"", _NO_NAMES, b"")
        self._become(relay, bytes(self._said))
