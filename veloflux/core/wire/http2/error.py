"""What is wrong with a peer's frames: fatal to one stream, or to the connection (RFC 9113
section 5.4)."""

from enum import IntEnum


class Code(IntEnum):
    """RFC 9113 section 7."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class BrokenStreamError(Exception):
    """One stream must end with RST_STREAM; `kind` is for a counter."""

    def __init__(self, code: Code, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.kind = kind
        self.detail = detail


class BrokenConnectionError(Exception):
    """The connection must end with GOAWAY; `kind` is for a counter."""

    def __init__(self, code: Code, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.kind = kind
        self.detail = detail


def malformed(detail: str) -> BrokenStreamError:
    """A message that breaks HTTP's rules inside sound frames (RFC 9113 section 8.1.1)."""
    return BrokenStreamError(Code.PROTOCOL_ERROR, "malformed", detail)


def illegal(detail: str) -> BrokenConnectionError:
    return BrokenConnectionError(Code.PROTOCOL_ERROR, "frame", detail)


def wrong_size(detail: str) -> BrokenConnectionError:
    return BrokenConnectionError(Code.FRAME_SIZE_ERROR, "frame", detail)


def calm_down(detail: str) -> BrokenConnectionError:
    """For a peer that is within every rule's letter, but means harm."""
    return BrokenConnectionError(Code.ENHANCE_YOUR_CALM, "flood", detail)
