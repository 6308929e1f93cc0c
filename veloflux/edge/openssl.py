"""What `ssl` does not offer of the OpenSSL it runs on, by way of `ctypes`.

Ticket keys that processes share, no cache of sessions, a bound on a chain's length, and the names
of the authorities that a client is asked for. A context's pointer is where CPython has kept it
since 3.2; it is believed only when what it points to has the method and the options of a server's
context. Where it has not, or OpenSSL is linked in without its names, `of` gives None.
"""

import ctypes
import functools
import ssl
from collections.abc import Iterable
from typing import Any

# Of a name, an HMAC key and an AES key (SSL_CTX_set_tlsext_ticket_keys).
TICKET_KEY_BYTES = 80
# <openssl/ssl.h>
_SET_SESSION_CACHE_MODE = 44
_GET_TICKET_KEYS = 58
_SET_TICKET_KEYS = 59
_CACHE_OFF = 0
_SESSION_ID_CONTEXT_BYTES = 32
# A context begins with its method (OpenSSL 1.1), or with its library's context and then its method.
_FIRST_WORDS = 2
_WORD = ctypes.sizeof(ctypes.c_void_p)

_context_p = ctypes.c_void_p


class Reached:
    """One server's context, which this keeps alive."""

    def __init__(self, library: Any, context: ssl.SSLContext, pointer: int) -> None:
        self._library = library
        self._context = context
        self._pointer = pointer

    def share_tickets(self, key: bytes) -> None:
        """Give out and take tickets by `key`, of TICKET_KEY_BYTES. Raises ValueError."""
        self._control(_SET_TICKET_KEYS, key)

    @property
    def ticket_key(self) -> bytes:
        """By which tickets are given out."""
        kept = ctypes.create_string_buffer(TICKET_KEY_BYTES)
        self._control(_GET_TICKET_KEYS, kept)
        return kept.raw

    def cache_nothing(self) -> None:
        """Keep no session of a client's."""
        self._library.SSL_CTX_ctrl(self._pointer, _SET_SESSION_CACHE_MODE, _CACHE_OFF, None)

    def name_sessions(self, label: bytes) -> None:
        """Take no session that began under another label, of 32 bytes at most."""
        assert len(label) <= _SESSION_ID_CONTEXT_BYTES
        self._library.SSL_CTX_set_session_id_context(self._pointer, label, len(label))

    def limit_chain(self, depth: int) -> None:
        """Believe nobody whose certificate has more than so many authorities above it."""
        self._library.SSL_CTX_set_verify_depth(self._pointer, depth)

    def name_authorities(self, certificates: Iterable[bytes]) -> None:
        """Say of which authorities a client's certificate may be; they are in DER."""
        library = self._library
        for der in certificates:
            at = ctypes.c_char_p(der)
            certificate = library.d2i_X509(None, ctypes.byref(at), len(der))
            if certificate:
                library.SSL_CTX_add_client_CA(self._pointer, certificate)
                library.X509_free(certificate)

    def _control(self, command: int, key: Any) -> None:
        if self._library.SSL_CTX_ctrl(self._pointer, command, TICKET_KEY_BYTES, key) != 1:
            raise ValueError("OpenSSL takes no ticket keys of this size")


def of(context: ssl.SSLContext) -> Reached | None:
    """Reach through to a context made with PROTOCOL_TLS_SERVER; None where that is not possible."""
    library = _library()
    if library is None:
        return None
    try:
        # Read as a file, a wrong address is an error and not the end of the process.
        with open("/proc/self/mem", "rb", buffering=0) as memory:
            pointer = _words(memory, id(context) + object.__basicsize__, 1)[0]
            first = _words(memory, pointer, _FIRST_WORDS)
    except (OSError, OverflowError):
        return None
    if library.TLS_server_method() not in first:
        return None
    if library.SSL_CTX_get_options(pointer) & 0xFFFFFFFF != int(context.options) & 0xFFFFFFFF:
        return None
    return Reached(library, context, pointer)


def _words(memory: Any, address: int, count: int) -> list[int]:
    memory.seek(address)
    read = memory.read(count * _WORD)
    if len(read) != count * _WORD:
        raise OSError("cut short")
    return [int.from_bytes(read[at : at + _WORD], "little") for at in range(0, len(read), _WORD)]


@functools.cache
def _library() -> Any:
    """The OpenSSL that `ssl` has loaded: found through its own module, so it is no other one."""
    try:
        import _ssl

        library = ctypes.CDLL(getattr(_ssl, "__file__", None))
        for name, result, *arguments in _FUNCTIONS:
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (ImportError, OSError, AttributeError):
        return None
    return library


_FUNCTIONS: tuple[tuple[Any, ...], ...] = (
    ("TLS_server_method", ctypes.c_void_p),
    ("SSL_CTX_get_options", ctypes.c_uint64, _context_p),
    ("SSL_CTX_ctrl", ctypes.c_long, _context_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p),
    (
        "SSL_CTX_set_session_id_context",
        ctypes.c_int,
        _context_p,
        ctypes.c_char_p,
        ctypes.c_uint,
    ),
    ("SSL_CTX_set_verify_depth", None, _context_p, ctypes.c_int),
    ("SSL_CTX_add_client_CA", ctypes.c_int, _context_p, ctypes.c_void_p),
    ("d2i_X509", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long),
    ("X509_free", None, ctypes.c_void_p),
)
