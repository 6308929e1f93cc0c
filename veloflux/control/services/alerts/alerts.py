"""Alerts: each condition is told once, followed while it lasts, and taken back when it is over.

A condition is noted, becomes an alert once it has lasted as long as it must, and the alert is
resolved once the condition has been gone for as long as that takes. An alert that was open when the
daemon stopped is open when it starts, and is resolved if nothing is wrong any more.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec
from twisted.internet.defer import ensureDeferred
from twisted.logger import Logger

from veloflux.control.services.alerts.conditions import Condition, Severity
from veloflux.control.store.store import Delete, Put, Store, StoreError, Write

_KIND = "alert"
# Resolved ones that are kept; the oldest are forgotten first.
KEPT = 500
# Of before a restart: for so long nothing is known of backends yet, and of lags.
RESUMED_S = 60.0
# Written in one commit.
_AT_ONCE = 100


class Alert(msgspec.Struct, frozen=True):
    """Something that is or was wrong; moments are Unix time, `resolved_at` 0 while it lasts."""

    id: str
    key: str
    title: str
    message: str
    severity: Severity
    source: str
    timestamp: float
    updated_at: float
    resolved_at: float = 0.0

    @property
    def is_resolved(self) -> bool:
        return self.resolved_at > 0


Change = Literal["raised", "updated", "resolved"]


class OnChange(Protocol):
    """Hears what has become of an alert."""

    def __call__(self, change: Change, alert: Alert, /) -> None: ...


@dataclass(slots=True)
class _Watched:
    """A condition; `since` is when it was first seen, `seen` when last, `alert` once told."""

    since: float
    seen: float
    condition: Condition | None
    alert: Alert | None = None


class Alerts:
    """The alerts of this node. `clock` is steady, `wall` gives Unix time, `new_id` a new id."""

    _log = Logger()

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        wall: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self.on_change: list[OnChange] = []
        self._store = store
        self._clock = clock
        self._wall = wall
        self._new_id = new_id
        self._watched: dict[str, _Watched] = {}
        self._resolved: dict[str, Alert] = {}
        self._unsaved: dict[str, Write] = {}
        self._has_read = False
        self._is_saving = False

    @property
    def open(self) -> list[Alert]:
        """Those that last, the newest first."""
        found = [each.alert for each in self._watched.values() if each.alert is not None]
        return sorted(found, key=lambda alert: -alert.timestamp)

    @property
    def keys(self) -> frozenset[str]:
        """What is wrong, told or not yet."""
        return frozenset(self._watched)

    def all(self) -> list[Alert]:
        """Those that last, then those that are over, each with the newest first."""
        return self.open + sorted(self._resolved.values(), key=lambda alert: -alert.timestamp)

    def look(self, found: Iterable[Condition]) -> None:
        """Take all that is wrong now; to be called every few seconds."""
        now = self._clock()
        conditions = {condition.key: condition for condition in found}
        for condition in conditions.values():
            self._lasts(condition, now)
        for key in self._watched.keys() - conditions.keys():
            self._is_gone(key, now)
        if not self._is_saving:
            self._is_saving = True
            ensureDeferred(self.save()).addBoth(self._saved)

    def _lasts(self, condition: Condition, now: float) -> None:
        watched = self._watched.setdefault(condition.key, _Watched(now, now, None))
        watched.seen, watched.condition = now, condition
        alert = watched.alert
        if alert is None:
            if now - watched.since >= condition.holds_s:
                watched.alert = self._raised(condition)
            return
        # What is only told in other words, with other figures, is not worth a write.
        is_same = (alert.title, alert.severity) == (condition.title, condition.severity)
        watched.alert = msgspec.structs.replace(
            alert,
            title=condition.title,
            message=condition.message,
            severity=condition.severity,
            source=condition.source,
            updated_at=alert.updated_at if is_same else self._wall(),
        )
        if not is_same:
            self._tell("updated", watched.alert)

    def _is_gone(self, key: str, now: float) -> None:
        watched = self._watched[key]
        clears_s = watched.condition.clears_s if watched.condition is not None else RESUMED_S
        if watched.alert is None:
            del self._watched[key]
        elif now - watched.seen >= clears_s:
            del self._watched[key]
            at = self._wall()
            alert = msgspec.structs.replace(watched.alert, resolved_at=at, updated_at=at)
            self._resolved[alert.id] = alert
            self._forget()
            self._tell("resolved", alert)

    def _raised(self, condition: Condition) -> Alert:
        at = self._wall()
        alert = Alert(
            id=self._new_id(),
            key=condition.key,
            title=condition.title,
            message=condition.message,
            severity=condition.severity,
            source=condition.source,
            timestamp=at,
            updated_at=at,
        )
        self._tell("raised", alert)
        return alert

    def _tell(self, change: Change, alert: Alert) -> None:
        self._unsaved[alert.id] = Put(_KIND, alert.id, msgspec.json.encode(alert))
        for tell in self.on_change:
            tell(change, alert)

    def _forget(self) -> None:
        while len(self._resolved) > KEPT:
            oldest = min(self._resolved.values(), key=lambda alert: alert.timestamp)
            del self._resolved[oldest.id]
            self._unsaved[oldest.id] = Delete(_KIND, oldest.id)

    async def save(self) -> None:
        """Write what is new; what cannot be written waits."""
        try:
            if not self._has_read:
                await self._read()
                self._has_read = True
            while self._unsaved:
                batch = dict(list(self._unsaved.items())[:_AT_ONCE])
                await self._store.commit(*batch.values())
                for key, write in batch.items():
                    if self._unsaved.get(key) is write:
                        del self._unsaved[key]
        except StoreError:
            # It is told by whoever measures the store, as an alert.
            return

    async def _read(self) -> None:
        """Go on with what was there before."""
        after = ""
        while page := await self._store.scan(_KIND, after):
            after = page[-1].key
            for document in page:
                self._found(msgspec.json.decode(document.body, type=Alert))
        self._forget()

    def _found(self, alert: Alert) -> None:
        if alert.is_resolved:
            self._resolved[alert.id] = alert
            return
        watched = self._watched.get(alert.key)
        now = self._clock()
        if watched is None:
            self._watched[alert.key] = _Watched(now, now, None, alert)
        elif watched.alert is None:
            watched.alert = alert
        else:
            # It was told anew while the store could not be read: that was the same one.
            self._unsaved[watched.alert.id] = Delete(_KIND, watched.alert.id)
            watched.alert = alert

    def _saved(self, _: object) -> None:
        self._is_saving = False
