"""The WebSocket opening handshake, as a proxy must check it (RFC 6455 section 4)."""

import base64
import binascii
import hashlib

from veloflux.core.wire.error import ProtocolError, bad_answer, bad_request
from veloflux.core.wire.fields import ResponseFields
from veloflux.core.wire.http1 import RequestHead
from veloflux.core.wire.hygiene import VIAS

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def check_handshake(head: RequestHead) -> bytes:
    """Return the Sec-WebSocket-Accept that only a backend which understood will answer.

    Raises ProtocolError: 400, or 426 for a version that is not 13.
    """
    fields = head.fields
    if head.method != b"GET" or fields.length != 0:
        raise bad_request("upgrade", "A WebSocket handshake is a GET without a body.")
    if fields.value(b"sec-websocket-version") != b"13":
        raise ProtocolError(
            426,
            "upgrade",
            "The only WebSocket version is 13.",
            b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n",
        )
    key = fields.value(b"sec-websocket-key") or b""
    try:
        valid = len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        valid = False
    if not valid:
        raise bad_request("upgrade", "Sec-WebSocket-Key is not 16 bytes in base64.")
    # SHA-1 is what the protocol asks for; it protects nothing here.
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest)


def no_tunnel() -> ProtocolError:
    """For a WebSocket where the route has none."""
    return ProtocolError(501, "upgrade", "There are no WebSockets here.")


def check_switch(fields: ResponseFields, accept: bytes | None) -> None:
    """Raise ProtocolError 502 for a backend's 101 when no switch was asked for (`accept` is None),
    or when it does not prove that it understood."""
    if accept is None or not fields.upgrade or fields.accept != accept:
        raise bad_answer("upgrade", "The backend switched protocols unasked.")


def switching(fields: ResponseFields, accept: bytes, request_id: bytes) -> bytes:
    """The head that tells the client of the switch, of a backend's 101 that was checked."""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\n%b%bConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: %b\r\nX-Request-ID: %b\r\n\r\n"
        % (fields.kept, VIAS[fields.minor], accept, request_id)
    )


def switched(fields: ResponseFields) -> bytes:
    """The field lines that tell a client of HTTP/2 (RFC 8441 section 5)."""
    return fields.kept + VIAS[fields.minor]
