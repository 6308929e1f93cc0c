"""Which backend did this client have before? It brings a cookie that we have signed.

Like HAProxy's `cookie NAME insert indirect nocache`: the cookie is ours alone. It is set when there
is none to go by, taken out of what a backend sees, and an answer that sets it is marked private, so
that no shared cache gives one client's to another (RFC 9111 section 7.3 lets them store it).

Its value is opaque, since addresses are nobody's business: a keyed hash of pool and backend, when
it ends, and a MAC, in base64url. A client can neither name a backend nor learn one, and what one
pool has signed is worth nothing in another.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as BadBase64
from collections.abc import Iterable
from typing import NamedTuple

_ID_BYTES = 12
_TIME_BYTES = 5
# 128 bits, which RFC 2104 section 5 and NIST SP 800-107 find enough of a hash twice as long.
_MAC_BYTES = 16
_VALUE_LENGTH = 44  # 33 bytes in base64, which leaves no padding
# Cookies of that name in one request that are looked at: a browser may hold some of other paths.
_LOOKED_AT = 4
# Values read before, of clients that come again.
_REMEMBERED = 1024
# Goes with every cookie that is set.
PRIVATE = b"Cache-Control: private\r\n"


class Token(NamedTuple):
    """What a good cookie says: the backend by its id, and when that ends, in wall clock seconds."""

    backend_id: bytes
    expires: int


class Seal:
    """Makes and reads one pool's cookies.

    `secret` is the node's, the same in all its workers. Made `is_secure`, a cookie goes back over
    TLS only. Times are the wall clock's, since cookies outlive processes.
    """

    def __init__(self, secret: bytes, pool: str, cookie: str, ttl_s: float) -> None:
        """Raises ValueError for a secret too short to keep one."""
        if len(secret) < 16:
            raise ValueError("a secret of under 16 bytes signs nothing")
        self._key = hmac.digest(secret, b"sticky session\0" + pool.encode(), "sha256")
        self._name = cookie.encode()
        self._ttl_s = ttl_s
        self._head = b"Set-Cookie: %b=" % self._name
        self._tail = b"; Max-Age=%d; Path=/; HttpOnly; SameSite=Lax" % ttl_s
        self._read: dict[bytes, Token] = {}

    def backend_id(self, name: str) -> bytes:
        """What a token calls the backend of that name; a pool keeps who is called what."""
        return hmac.digest(self._key, b"backend\0" + name.encode(), "sha256")[:_ID_BYTES]

    def issue(self, name: str, now: float, *, is_secure: bool = False) -> bytes:
        """The Set-Cookie line that binds a client to that backend."""
        expires = int(now + self._ttl_s)
        body = self.backend_id(name) + expires.to_bytes(_TIME_BYTES, "big")
        value = urlsafe_b64encode(body + self._mac(body))
        secure = b"; Secure\r\n" if is_secure else b"\r\n"
        return self._head + value + self._tail + secure

    def read(self, values: Iterable[bytes], now: float) -> Token | None:
        """The first good cookie of that name in a request's Cookie fields, if there is one."""
        looked_at = 0
        for value in values:
            if self._name not in value:
                continue
            # Several Cookie fields may have been joined to one, by commas.
            for pair in value.replace(b",", b";").split(b";"):
                name, _, text = pair.strip(b" \t").partition(b"=")
                if name != self._name:
                    continue
                token = self._read.get(text) or self._open(text)
                if token is not None and now < token.expires:
                    return token
                looked_at += 1
                if looked_at == _LOOKED_AT:
                    return None
        return None

    def is_fresh(self, token: Token, now: float) -> bool:
        """Whether it will do: a client in the second half of its time gets a new one."""
        return token.expires - now > self._ttl_s / 2

    def without(self, value: bytes) -> bytes:
        """A Cookie field's value less the cookies of that name; empty when nothing is left."""
        if self._name not in value:
            return value
        pairs = value.split(b";")
        kept = [p for p in pairs if p.strip(b" \t").partition(b"=")[0] != self._name]
        return value if len(kept) == len(pairs) else b";".join(kept).strip(b" \t")

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, b"cookie\0" + body, "sha256")[:_MAC_BYTES]

    def _open(self, text: bytes) -> Token | None:
        if len(text) != _VALUE_LENGTH:
            return None
        try:
            whole = urlsafe_b64decode(text)
        except BadBase64:
            return None
        body, mac = whole[:-_MAC_BYTES], whole[-_MAC_BYTES:]
        if len(body) != _ID_BYTES + _TIME_BYTES or not hmac.compare_digest(mac, self._mac(body)):
            return None
        token = Token(body[:_ID_BYTES], int.from_bytes(body[_ID_BYTES:], "big"))
        if len(self._read) >= _REMEMBERED:
            # The oldest goes; who comes every day is soon back.
            del self._read[next(iter(self._read))]
        self._read[text] = token
        return token
