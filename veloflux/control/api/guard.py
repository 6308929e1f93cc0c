"""Who is calling, and may they? For now the operator, by HTTP Basic (RFC 7617).

Every refusal for want of the right credentials is the same, whether they are missing, malformed or
wrong. Tries are counted by address before they are verified, so that many at once are no way
around the limit; credentials that were right a while ago do not count, so that a scraper is not
locked out by somebody who guesses from the same address.
"""

import binascii
from base64 import b64decode
from collections.abc import Callable, Sequence
from math import ceil

from veloflux.control.api.endpoint import OPEN, SIGNED_IN, Endpoint
from veloflux.control.api.problem import Problem
from veloflux.control.services.operator import BusyError, Operator
from veloflux.control.services.principal import OPERATOR_ID, ROLES, Principal
from veloflux.control.services.throttle import Throttle

# A name and a password of 1 KiB each, in base64.
MAX_CREDENTIALS_BYTES = 4096

_OPERATOR = Principal(OPERATOR_ID, "operator", "operator", ROLES["operator"], credential="basic")
_CHALLENGE = {b"WWW-Authenticate": b'Basic realm="VeloFlux", charset="UTF-8"'}


class Guard:
    """Decides about each call; `clock` gives monotonic seconds."""

    def __init__(self, operator: Operator, clock: Callable[[], float]) -> None:
        self._operator = operator
        self._clock = clock
        self._throttle = Throttle()

    async def admit(
        self, endpoint: Endpoint, authorization: Sequence[bytes], address: str
    ) -> Principal | None:
        """Return who calls, None if that does not matter; raises Problem for who may not."""
        if not self._operator.is_asked_for:
            return _OPERATOR
        if endpoint.permission == OPEN and not (endpoint.knows_caller and authorization):
            return None
        principal = await self._principal(authorization, address)
        if endpoint.permission not in (OPEN, SIGNED_IN, *principal.permissions):
            raise Problem(403, f"This needs the permission {endpoint.permission}.")
        return principal

    async def _principal(self, authorization: Sequence[bytes], address: str) -> Principal:
        credentials = _credentials(authorization)
        if credentials is None:
            raise _unauthorized()
        if self._operator.remembers(*credentials):
            return _OPERATOR
        wait_s = self._throttle.take(address, self._clock())
        if wait_s:
            raise _too_many(wait_s, "Too many tries from this address.")
        try:
            is_right = await self._operator.verify(*credentials)
        except BusyError:
            self._throttle.give_back(address, self._clock())
            raise _too_many(1, "Too many sign in at this moment.") from None
        if not is_right:
            raise _unauthorized()
        self._throttle.give_back(address, self._clock())
        return _OPERATOR


def _credentials(authorization: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Read a name and a password; None unless there is exactly one well-formed header."""
    if len(authorization) != 1 or len(authorization[0]) > MAX_CREDENTIALS_BYTES:
        return None
    scheme, _, encoded = authorization[0].partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        decoded = b64decode(encoded.strip(), validate=True)
        decoded.decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    name, colon, password = decoded.partition(b":")
    return (name, password) if colon else None


def _unauthorized() -> Problem:
    return Problem(401, "This needs valid credentials.", _CHALLENGE)


def _too_many(wait_s: float, detail: str) -> Problem:
    return Problem(429, detail, {b"Retry-After": b"%d" % ceil(wait_s)})
