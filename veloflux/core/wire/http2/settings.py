"""SETTINGS: what each side may ask of the other (RFC 9113 section 6.5, RFC 8441, RFC 9218)."""

from dataclasses import dataclass
from struct import Struct

from veloflux.core.model.traffic import Limits
from veloflux.core.wire.http2 import frames
from veloflux.core.wire.http2.error import BrokenConnectionError, Code, illegal, wrong_size

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 0x1, 0x2, 0x3, 0x4
MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 0x5, 0x6
ENABLE_CONNECT_PROTOCOL, NO_RFC7540_PRIORITIES = 0x8, 0x9

DEFAULT_WINDOW = 65_535
MAX_WINDOW = 0x7FFF_FFFF
_ENTRY = Struct(">HL")
# Each field of a list counts for so much more than its bytes (RFC 9113 section 6.5.2).
_FIELD_OVERHEAD = 32
_LEAST_FRAME, _LARGEST_FRAME = 16_384, 16_777_215


@dataclass(frozen=True, slots=True)
class Terms:
    """What one connection grants its peer. Windows in bytes; a burst is how many may come at
    once, a rate how many more each second.

    `resets` count the streams that a client cancels or makes us reset, for which those that come
    to their end pay as well; `controls` the frames that cost work and carry nothing.
    """

    max_streams: int = 100
    stream_window: int = 64 * 1024
    connection_window: int = 1024 * 1024
    resets_burst: float = 100.0
    resets_rate: float = 5.0
    controls_burst: float = 500.0
    controls_rate: float = 100.0


def announce(terms: Terms, limits: Limits, *, tunnels: bool) -> bytes:
    """Our SETTINGS, and the connection's window raised to what `terms` say."""
    entries = [
        (MAX_CONCURRENT_STREAMS, terms.max_streams),
        (INITIAL_WINDOW_SIZE, terms.stream_window),
        (
            MAX_HEADER_LIST_SIZE,
            limits.max_header_bytes
            + limits.max_target_bytes
            + _FIELD_OVERHEAD * limits.max_headers,
        ),
        (NO_RFC7540_PRIORITIES, 1),
    ]
    if tunnels:
        entries.append((ENABLE_CONNECT_PROTOCOL, 1))
    ours = frames.frame(
        frames.SETTINGS, 0, 0, b"".join(_ENTRY.pack(name, value) for name, value in entries)
    )
    return ours + _grant(terms)


def ask(terms: Terms, max_header_bytes: int) -> bytes:
    """A client's SETTINGS, and the connection's window raised to what `terms` say. Nobody is to
    push."""
    entries = [
        (ENABLE_PUSH, 0),
        (INITIAL_WINDOW_SIZE, terms.stream_window),
        (MAX_HEADER_LIST_SIZE, max_header_bytes),
    ]
    ours = b"".join(_ENTRY.pack(name, value) for name, value in entries)
    return frames.frame(frames.SETTINGS, 0, 0, ours) + _grant(terms)


def _grant(terms: Terms) -> bytes:
    more = terms.connection_window - DEFAULT_WINDOW
    return frames.window_update(0, more) if more > 0 else b""


def read(payload: bytes) -> list[tuple[int, int]]:
    """The entries of the peer's SETTINGS that mean something here; raises BrokenConnectionError.

    The size of our own table for its sake is not among them: we keep none (see `packing`).
    """
    if len(payload) % _ENTRY.size:
        raise wrong_size("The settings are not a multiple of six bytes.")
    found = []
    for name, value in _ENTRY.iter_unpack(payload):
        if name in (ENABLE_PUSH, ENABLE_CONNECT_PROTOCOL, NO_RFC7540_PRIORITIES):
            if value > 1:
                raise illegal("A setting that is 0 or 1 is neither.")
            found.append((name, value))
        elif name == INITIAL_WINDOW_SIZE:
            if value > MAX_WINDOW:
                raise BrokenConnectionError(
                    Code.FLOW_CONTROL_ERROR, "window", "The initial window is too large."
                )
            found.append((name, value))
        elif name == MAX_CONCURRENT_STREAMS:
            found.append((name, value))
        elif name == MAX_FRAME_SIZE and not _LEAST_FRAME <= value <= _LARGEST_FRAME:
            raise illegal("The largest frame is out of its bounds.")
    return found
