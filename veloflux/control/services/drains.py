"""Backends that are being emptied: no new requests at once, and none at all after a deadline.

One that drains has weight 0: clients with a good cookie still come back to it. When the deadline
has come it is disabled, and those go elsewhere too. What it was before is in the store, so that a
drain that is cancelled, also after a restart, brings it back as it was.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from veloflux.config.written import Document
from veloflux.control.services.configuration.configuration import Author, Configuration, Outcome
from veloflux.control.services.configuration.edits import (
    Edited,
    find_backend,
    items,
    update_backend,
)
from veloflux.control.services.configuration.revisions import Revision
from veloflux.control.services.errors import ConflictError, NotFoundError, Refusal
from veloflux.control.services.moments import moment
from veloflux.control.store.store import Delete, Put, Store

KIND = "drain"


class Drain(msgspec.Struct, frozen=True):
    """One drain: the weight before it, and when it began and has to end, in Unix time."""

    backend: str
    weight: int
    began_at: float
    ends_at: float | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a drain is: `inflight` requests and relayed connections are left."""

    backend: str
    state: Literal["draining", "drained", "disabled"]
    inflight: int
    connections: int
    began_at: datetime
    deadline: datetime | None


class Drains:
    """Keeps the drains. `now` gives Unix time, `clock` measures until deadlines."""

    _log = Logger()

    def __init__(
        self,
        configuration: Configuration,
        store: Store,
        clock: IReactorTime,
        now: Callable[[], float],
    ) -> None:
        self._configuration = configuration
        self._store = store
        self._clock = clock
        self._now = now
        self._drains: dict[str, Drain] = {}
        self._timers: dict[str, IDelayedCall] = {}
        configuration.on_change.append(self._changed)

    async def start(self) -> None:
        """Go on with those of before a restart; raises StoreError."""
        for found in await self._store.scan(KIND):
            drain = _drain.decode(found.body)
            self._drains[drain.backend] = drain
            self._arm(drain)
        self._changed(self._configuration.current())

    def stop(self) -> None:
        """Let go of the timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def progress(self, backend: str, inflight: int, connections: int) -> Progress:
        """Say how far one is; raises NotFoundError for no backend, ConflictError for no drain."""
        document = self._configuration.current().document
        model = _at(document, *find_backend(document, backend))
        drain = self._of(backend)
        return Progress(
            backend,
            "disabled" if not model.get("enabled", True) else "draining" if inflight else "drained",
            inflight,
            connections,
            moment(drain.began_at),
            None if drain.ends_at is None else moment(drain.ends_at),
        )

    async def begin(self, backend: str, deadline_s: float | None, author: Author) -> Outcome:
        """Begin to drain one, or give its drain another deadline; raises Refusal."""
        document = self._configuration.current().document
        model = _at(document, *find_backend(document, backend))
        now = self._now()
        before = self._drains.get(backend)
        weight = model.get("weight", 1)
        drain = Drain(
            backend,
            before.weight if before is not None else weight if isinstance(weight, int) else 1,
            now if before is None else before.began_at,
            None if deadline_s is None else now + deadline_s,
        )
        outcome = await self._configuration.change(
            update_backend(backend, {"weight": 0}),
            author,
            None,
            Put(KIND, backend, msgspec.json.encode(drain)),
        )
        self._drains[backend] = drain
        self._arm(drain)
        return outcome

    async def cancel(self, backend: str, author: Author) -> Outcome:
        """Bring one back as it was; raises Refusal."""
        find_backend(self._configuration.current().document, backend)
        drain = self._of(backend)
        outcome = await self._configuration.change(
            update_backend(backend, {"weight": drain.weight, "enabled": True}),
            author,
            None,
            Delete(KIND, backend),
        )
        self._forget(backend)
        return outcome

    def _of(self, backend: str) -> Drain:
        # Not 404: the backend is there, and its drain is no more than a state of it.
        drain = self._drains.get(backend)
        if drain is None:
            raise ConflictError("This backend does not drain, or no more.")
        return drain

    def _arm(self, drain: Drain) -> None:
        self._disarm(drain.backend)
        if drain.ends_at is not None:
            wait = max(0.0, drain.ends_at - self._now())
            self._timers[drain.backend] = self._clock.callLater(wait, self._end, drain)

    def _disarm(self, backend: str) -> None:
        timer = self._timers.pop(backend, None)
        if timer is not None and timer.active():
            timer.cancel()

    def _forget(self, backend: str) -> None:
        self._drains.pop(backend, None)
        self._disarm(backend)

    def _end(self, drain: Drain) -> None:
        del self._timers[drain.backend]
        Deferred.fromCoroutine(self._disable(drain)).addErrback(
            lambda failure: self._log.failure("a drain could not be ended", failure)
        )

    async def _disable(self, drain: Drain) -> None:
        def edit(document: Document) -> Edited:
            model = _at(document, *find_backend(document, drain.backend))
            if model.get("weight", 1):
                raise NotFoundError("This backend does not drain any more.")
            return update_backend(drain.backend, {"enabled": False})(document)

        author = Author("veloflux", "the deadline of its drain has come", may_use_variables=True)
        try:
            await self._configuration.change(edit, author)
        except NotFoundError:
            return
        except Refusal as error:
            self._log.error("a drain could not be ended: {why}", why=error.detail)

    def _changed(self, revision: Revision) -> None:
        """Forget those that somebody has ended otherwise."""
        if not self._drains:
            return
        found = {}
        for backend in self._drains:
            try:
                found[backend] = _at(revision.document, *find_backend(revision.document, backend))
            except NotFoundError:
                continue
        gone = [each for each in self._drains if found.get(each, {}).get("weight", 1)]
        for backend in gone:
            self._forget(backend)
            Deferred.fromCoroutine(self._store.commit(Delete(KIND, backend))).addErrback(
                lambda failure: self._log.failure("a drain's end could not be stored", failure)
            )


def _at(document: Document, i: int, k: int) -> Mapping[str, Any]:
    found: Mapping[str, Any] = items(document, "pools")[i]["backends"][k]
    return found


_drain = msgspec.json.Decoder(Drain)
