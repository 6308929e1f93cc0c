"""The same call again: a POST whose answer was lost on the way may be repeated under its key.

After draft-ietf-httpapi-idempotency-key-header. An answer of success is kept for a day; a refusal
is not, since nothing has happened. Keys belong to who made the call. An answer and what it is about
are not committed together: who is cut off by the daemon's end between the two asks again as if for
the first time.
"""

import re
from collections.abc import Awaitable, Callable
from hashlib import blake2b

import msgspec
from twisted.logger import Logger

from veloflux.control.api.problem import Problem
from veloflux.control.services.errors import ConflictError, InvalidError
from veloflux.control.store.store import MAX_ITEMS, Delete, Put, Store, StoreError

KIND = "idempotency"
KEPT_S = 24 * 3600.0
_KEY = re.compile(rb"[!-~]{1,255}")
# Answers that are kept; the oldest go first. Those that are longer than any should be are not.
MAX_ANSWERS = 10_000
MAX_ANSWER_BYTES = 256 * 1024

_log = Logger()


class Answer(msgspec.Struct, frozen=True):
    """A whole answer, and for which call: `request` is the digest of what was asked."""

    at: float
    request: bytes
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Idempotency:
    """Keeps answers; `now` gives Unix time."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._running: set[str] = set()
        # When each answer was made, oldest first; None until the store has been looked through.
        self._kept: dict[str, float] | None = None

    async def once(
        self, caller: str, key: bytes, request: bytes, work: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """Do the work, or return what it gave under this key before.

        `request` is all that was asked. Raises ConflictError while it is being done, Problem for a
        key that came with another request, InvalidError for what is no key, and what `work` does.
        """
        if not _KEY.fullmatch(key):
            raise InvalidError("An Idempotency-Key has 1 to 255 visible ASCII characters.")
        name = blake2b(b"%d:%b%b" % (len(caller), caller.encode(), key), digest_size=16).hexdigest()
        if name in self._running:
            raise ConflictError("The call with this Idempotency-Key is being answered.")
        self._running.add(name)
        try:
            digest = blake2b(request, digest_size=16).digest()
            before = await self._answer(name)
            if before is None:
                answer = msgspec.structs.replace(await work(), request=digest, at=self._now())
                await self._keep(name, answer)
                return answer
            if before.request != digest:
                raise Problem(422, "This Idempotency-Key came before with another request.")
            return before
        finally:
            self._running.discard(name)

    async def _answer(self, name: str) -> Answer | None:
        kept = await self._look()
        if kept.get(name, 0.0) <= self._now() - KEPT_S:
            return None
        document = await self._store.get(KIND, name)
        return msgspec.msgpack.decode(document.body, type=Answer) if document else None

    async def _keep(self, name: str, answer: Answer) -> None:
        """Keep an answer, and let go of the old ones. It is given in any case: it is done."""
        kept = await self._look()
        if len(answer.body) > MAX_ANSWER_BYTES:
            return
        since = self._now() - KEPT_S
        too_many = len(kept) + 1 - MAX_ANSWERS
        old = [each for i, (each, at) in enumerate(kept.items()) if at <= since or i < too_many]
        content = msgspec.msgpack.encode(answer)
        try:
            await self._store.commit(
                *(Delete(KIND, each) for each in old), Put(KIND, name, content)
            )
        except StoreError as error:
            _log.error("an answer could not be kept for its key: {error}", error=error)
            return
        for each in old:
            del kept[each]
        kept[name] = answer.at

    async def _look(self) -> dict[str, float]:
        """Which answers there are; the store is looked through once."""
        if self._kept is None:
            found: dict[str, float] = {}
            after = ""
            while documents := await self._store.scan(KIND, after, MAX_ITEMS):
                for each in documents:
                    found[each.key] = msgspec.msgpack.decode(each.body, type=Answer).at
                after = documents[-1].key
            self._kept = self._kept or dict(sorted(found.items(), key=lambda item: item[1]))
        return self._kept
