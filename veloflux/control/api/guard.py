"""Who is calling, and may they? The answers to who may not say what could be shown instead."""

from collections.abc import Sequence

from veloflux.control.api.endpoint import OPEN, SIGNED_IN, Endpoint
from veloflux.control.api.problem import BEARER, Problem, retry_after
from veloflux.control.services.errors import TooManyTriesError, UnauthenticatedError
from veloflux.control.services.identity.identity import Identity
from veloflux.control.services.principal import ANYBODY, Principal

_BASIC = b'Basic realm="VeloFlux", charset="UTF-8"'


class Guard:
    """Decides about each call."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    @property
    def is_asking(self) -> bool:
        """Whether anybody is asked who they are."""
        return self._identity.is_asked_for

    async def admit(
        self, endpoint: Endpoint, authorization: Sequence[bytes], address: str
    ) -> Principal | None:
        """Return who calls, None if that does not matter.

        Raises Problem for who may not, BusyError, and StoreError.
        """
        if not self._identity.is_asked_for:
            return ANYBODY
        if endpoint.permission == OPEN and not (endpoint.knows_caller and authorization):
            return None
        try:
            principal = await self._identity.authenticate(authorization, address)
        except UnauthenticatedError as error:
            raise Problem(401, error.detail, _challenge(authorization)) from None
        except TooManyTriesError as error:
            # Credentials that are not looked at are none: who signs in is told 429, here it is 401.
            headers = _challenge(authorization) | retry_after(error)
            raise Problem(401, error.detail, headers) from None
        if endpoint.permission not in (OPEN, SIGNED_IN, *principal.permissions):
            raise Problem(403, f"This needs the permission {endpoint.permission}.")
        return principal


def _challenge(authorization: Sequence[bytes]) -> dict[bytes, bytes]:
    """Ask for a token where one was tried, else for either.

    For Basic a browser would open a window of its own, in front of the page that it shows.
    """
    is_token = any(each[:7].lower() == b"bearer " for each in authorization)
    asked = BEARER + b', error="invalid_token"' if is_token else BEARER + b", " + _BASIC
    return {b"WWW-Authenticate": asked}
