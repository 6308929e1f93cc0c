"""Access tokens: short-lived, signed (RFC 9068, RFC 8725), and good only as long as their sign-in.

The only importer of PyJWT, of which only the signature's part is used: the claims are checked here,
against our own clock and by type. What is taken is exactly what we write: one algorithm, one type,
one header, no key that a token brings along.
"""

import re
import secrets
from collections.abc import Callable

import msgspec
from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError

from veloflux.control.services.identity.account import Account
from veloflux.control.services.identity.signing import ALGORITHM, SigningKeys
from veloflux.control.services.principal import ROLES

LIFETIME_S = 15 * 60
MAX_TOKEN_BYTES = 8192
# How far other nodes' clocks may be from ours.
LEEWAY_S = 30
ISSUER = "veloflux"
AUDIENCE = "veloflux-admin"
_TYPE = "at+jwt"
# Three parts in base64url without padding (RFC 7515, 3.1).
_FORM = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says; times are whole seconds of Unix time, `sid` names the sign-in."""

    iss: str
    sub: str
    aud: str
    iat: int
    nbf: int
    exp: int
    jti: str
    sid: str
    role: str
    permissions: tuple[str, ...]
    tenant_id: str | None = None


class Tokens:
    """Issues and reads them; `now` gives Unix time. What waits raises StoreError."""

    def __init__(self, keys: SigningKeys, now: Callable[[], float]) -> None:
        self._keys = keys
        self._now = now
        self._jws = PyJWS(algorithms=[ALGORITHM])
        self._decoder = msgspec.json.Decoder(Claims)

    async def issue(self, account: Account, session_id: str) -> tuple[str, float]:
        """Sign a token for an account and its sign-in; returns when it ends, too."""
        key = await self._keys.current()
        now = int(self._now())
        claims = Claims(
            iss=ISSUER,
            sub=account.id,
            aud=AUDIENCE,
            iat=now,
            nbf=now,
            exp=now + LIFETIME_S,
            jti=secrets.token_hex(16),
            sid=session_id,
            role=account.role,
            permissions=tuple(sorted(ROLES[account.role])),
            tenant_id=account.tenant_id,
        )
        headers = {"typ": _TYPE, "kid": key.id}
        signed = self._jws.encode(msgspec.json.encode(claims), key.private, ALGORITHM, headers)
        return signed, float(claims.exp)

    async def read(self, token: str) -> Claims | None:
        """Return what a token says, None unless we have signed it and its time is now."""
        if len(token) > MAX_TOKEN_BYTES or not _FORM.fullmatch(token):
            return None
        try:
            header = self._jws.get_unverified_header(token)
            if header.keys() != {"alg", "typ", "kid"} or header["typ"] != _TYPE:
                return None
            key = await self._keys.find(header["kid"])
            if key is None:
                return None
            # Verified with our key and our algorithm, whatever the header says.
            signed = self._jws.decode(token, key.public, [ALGORITHM])
            claims = self._decoder.decode(signed)
        except (PyJWTError, msgspec.DecodeError, UnicodeError):
            return None
        return claims if self._is_good(claims) else None

    def _is_good(self, claims: Claims) -> bool:
        now = self._now()
        return (
            claims.iss == ISSUER
            and claims.aud == AUDIENCE
            and claims.exp > now - LEEWAY_S
            and max(claims.nbf, claims.iat) <= now + LEEWAY_S
        )
