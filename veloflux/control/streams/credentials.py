"""Who somebody on a stream is, by the same proofs as anywhere else."""

from veloflux.control.services.errors import Refusal
from veloflux.control.services.identity.identity import Identity, Standing
from veloflux.control.services.principal import Principal


class StreamCredentials:
    """Implements `session.Credentials`."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    async def admit(self, token: str, address: str) -> Principal | None:
        """See `Credentials`. A password is no token: it belongs into a header."""
        try:
            return await self._identity.authenticate([b"Bearer " + token.encode()], address)
        except (Refusal, UnicodeEncodeError):
            return None

    async def standing(self, by: Principal) -> Standing:
        """See `Credentials`."""
        return await self._identity.standing(by)
