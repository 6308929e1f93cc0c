"""One watcher's conversation: who it is, what it watches, and what it may say.

What it says is JSON with a `type`. Whatever is wrong with it is answered with an `error`; only who
does not say who they are, asks too much or reads too slowly is hung up on.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from veloflux.control.services.feed import Envelope, Feed, FullError, Item, Scope
from veloflux.control.services.identity.identity import Standing
from veloflux.control.services.principal import Principal
from veloflux.control.streams.outlet import Outlet

AUTH_DEADLINE_S = 5.0
# How long somebody may take no bytes at all.
STALLED_S = 30.0
# What somebody may say, in messages, pings and frames: so many at once, so many a second.
BURST, PER_SECOND = 60, 20.0

# RFC 6455, section 7.4: 1000 to 2999 are the protocol's, 4000 to 4999 everybody's own.
GOING_AWAY = 1001
TOO_MUCH = 1008
TOO_SLOW = 1013
UNAUTHORIZED = 4401
FORBIDDEN = 4403
# The first of them are RFC 6455's own, and Autobahn's work.
CODES = {
    1000: "You closed it.",
    1002: "A frame was not as RFC 6455 has it.",
    1007: "A text was not UTF-8.",
    1009: "A message was too long.",
    GOING_AWAY: "The daemon ends. Come back, to it or to what replaces it.",
    TOO_MUCH: "You said too much in too little time.",
    TOO_SLOW: "You read too slowly: too much waited, or nothing was read for 30 seconds.",
    UNAUTHORIZED: "You have not said who you are, or what you showed holds no longer: it expired,"
    " the sign-in ended, the key was deleted, the password or the role changed. Sign in again.",
    FORBIDDEN: "You may not: the channel needs a permission, or the account is disabled or gone.",
}


class Credentials(Protocol):
    """Says who somebody is, and whether they still are."""

    async def admit(self, token: str, address: str) -> Principal | None:
        """Return who brings this access token or API key, None if nobody may."""

    async def standing(self, by: Principal) -> Standing:
        """Return "good" while this one may stay."""


class Connection(Protocol):
    """The socket."""

    def write(self, item: Item, payload: bytes) -> None: ...
    def close(self, code: int, reason: str) -> None: ...


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    pass


class _Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pool: str | None = None


class _Auth(_Asked, frozen=True, tag="auth"):
    """The first message of who has shown nothing before: an access token or an API key."""

    token: str


class _Subscribe(_Asked, frozen=True, tag="subscribe"):
    """Watch this channel, too, or in another way than before: `{"pool": …}` is a filter of
    `backends` and `logs`, `period` is 1 to 60 seconds."""

    channel: str
    filter: _Filter = _Filter()
    period: float | None = None


class _Unsubscribe(_Asked, frozen=True, tag="unsubscribe"):
    """Watch this channel no more; the connection stays."""

    channel: str
    filter: _Filter = _Filter()


class _Resync(_Asked, frozen=True, tag="resync"):
    """Send what came after this `seq` of the channel, or all of it where that is too long ago;
    without `channel`, of the one in the address."""

    seq: int
    channel: str | None = None


class _Ping(_Asked, frozen=True, tag="ping"):
    """Answered with a `pong`."""


class _Pause(_Asked, frozen=True, tag="pause"):
    """Send nothing to this watcher, and keep nothing for it."""


class _Resume(_Asked, frozen=True, tag="resume"):
    """Go on, with all of each channel."""


MESSAGES: tuple[type[_Asked], ...] = (
    _Auth,
    _Subscribe,
    _Unsubscribe,
    _Resync,
    _Ping,
    _Pause,
    _Resume,
)
_read = msgspec.json.Decoder(
    _Auth | _Subscribe | _Unsubscribe | _Resync | _Ping | _Pause | _Resume
).decode


class Session:
    """A watcher of the feed.

    `clock` gives monotonic seconds, `now` Unix time; `identifier` tells one client from another in
    logs.
    """

    def __init__(
        self,
        connection: Connection,
        feed: Feed,
        credentials: Credentials,
        clock: IReactorTime,
        now: Callable[[], float],
        identifier: str,
        address: str,
    ) -> None:
        self.principal: Principal | None = None
        self.identifier = identifier
        self._connection = connection
        self._feed = feed
        self._credentials = credentials
        self._clock = clock
        self._now = now
        self._address = address
        self._outlet = Outlet(connection.write)
        self._wanted: tuple[str, float | None] = ("", None)
        self._is_asking = False
        self._is_closed = False
        self._is_paused = False
        self._deadline: IDelayedCall | None = None
        self._allowance = float(BURST)
        self._counted_at = clock.seconds()
        self._watched: dict[str, tuple[Scope, float | None]] = {}

    def open(self, principal: Principal | None, channel: str, period_s: float | None) -> None:
        """Begin: whoever is not known yet has to say who they are in their first message."""
        self._wanted = channel, period_s
        if principal is not None:
            self._admit(principal)
        else:
            self._deadline = self._clock.callLater(
                AUTH_DEADLINE_S, self.close, UNAUTHORIZED, "nobody said who is there"
            )

    def count(self) -> bool:
        """Take note of one more thing that was sent to us; False when it was one too many."""
        now = self._clock.seconds()
        self._allowance = min(BURST, self._allowance + (now - self._counted_at) * PER_SECOND)
        self._counted_at = now
        self._allowance -= 1
        if self._allowance < 0:
            self.close(TOO_MUCH, "too many messages")
        return self._allowance >= 0

    def receive(self, text: bytes) -> None:
        """Take one message."""
        if self._is_closed:
            return
        try:
            asked = _read(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._say("error", {"detail": f"this is no message: {error}"})
            return
        if isinstance(asked, _Auth):
            self._authenticate(asked.token)
        elif self.principal is None:
            self.close(UNAUTHORIZED, "the first message says who is there")
        else:
            self._answer(asked)

    def take(self, item: Item) -> None:
        if self._is_closed or self._is_paused:
            return
        if not self._outlet.offer(item):
            self.close(TOO_SLOW, "this watcher reads too slowly")

    def pause_writing(self) -> None:
        """The connection takes no more for now."""
        self._outlet.pause()
        if self._deadline is None and not self._is_closed:
            self._deadline = self._clock.callLater(
                STALLED_S, self.close, TOO_SLOW, "this watcher reads nothing"
            )

    def resume_writing(self) -> None:
        """The connection takes more again."""
        if self.principal is not None:
            self._cancel()
        self._outlet.resume()

    def judge(self, standing: Standing) -> None:
        """Hang up on somebody who may stay no longer."""
        if self.principal is None:
            return
        ends = self.principal.expires_at
        if standing == "shut":
            self.close(FORBIDDEN, "this account is shut")
        elif standing == "over" or (ends is not None and ends <= self._now()):
            self.close(UNAUTHORIZED, "what was shown to get in holds no longer")

    def close(self, code: int, reason: str) -> None:
        """Hang up."""
        if not self._is_closed:
            self.end()
            self._connection.close(code, reason)

    def end(self) -> None:
        """Let go of everything: the connection is gone, or about to be."""
        self._is_closed = True
        self._cancel()
        self._feed.leave(self)
        self._outlet.clear()

    def _cancel(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    def _authenticate(self, token: str) -> None:
        if self.principal is not None or self._is_asking:
            self._say("error", {"detail": "who is there has been said"})
            return
        self._is_asking = True
        asked = Deferred.fromCoroutine(self._credentials.admit(token, self._address))
        asked.addCallbacks(self._decided, lambda _: self._decided(None))

    def _decided(self, principal: Principal | None) -> None:
        self._is_asking = False
        if self._is_closed:
            return
        if principal is None:
            self.close(UNAUTHORIZED, "these credentials are not valid")
        else:
            self._admit(principal)

    def _admit(self, principal: Principal) -> None:
        self._cancel()
        self.principal = principal
        channel, period_s = self._wanted
        if not self._may_watch(channel):
            self.close(FORBIDDEN, f"this needs {self._feed.topics[channel].permission}")
            return
        self._say("connected", {"client_id": self.identifier})
        self._watch(channel, Scope(tenant_id=principal.tenant_id), period_s)

    def _may_watch(self, channel: str) -> bool:
        assert self.principal is not None
        permission = self._feed.topics[channel].permission
        return permission is None or permission in self.principal.permissions

    def _answer(self, asked: _Asked) -> None:
        match asked:
            case _Ping():
                self._say("pong", {})
            case _Pause():
                self._is_paused = True
                self._outlet.clear()
            case _Resume() if self._is_paused:
                self._is_paused = False
                for channel, (scope, period_s) in list(self._watched.items()):
                    self._watch(channel, scope, period_s)
            case _Subscribe():
                self._subscribe(asked)
            case _Unsubscribe():
                self._watched.pop(asked.channel, None)
                self._feed.leave(self, asked.channel)
            case _Resync():
                channel = self._wanted[0] if asked.channel is None else asked.channel
                try:
                    self._feed.resync(self, channel, asked.seq)
                except KeyError:
                    self._say("error", {"detail": f"the channel {channel!r} is not watched"})

    def _subscribe(self, asked: _Subscribe) -> None:
        assert self.principal is not None
        if asked.channel not in self._feed.topics:
            known = ", ".join(self._feed.topics)
            self._say("error", {"detail": f"no channel {asked.channel!r}; there are: {known}"})
        elif not self._may_watch(asked.channel):
            needed = self._feed.topics[asked.channel].permission
            self._say("error", {"detail": f"the channel {asked.channel} needs {needed}"})
        else:
            scope = Scope(asked.filter.pool, self.principal.tenant_id)
            self._watch(asked.channel, scope, asked.period)

    def _watch(self, channel: str, scope: Scope, period_s: float | None) -> None:
        try:
            self._feed.watch(self, channel, scope, period_s)
            self._watched[channel] = scope, period_s
        except FullError:
            self._watched.pop(channel, None)
            detail = f"too many watch {channel} each in another way; leave filter and period out"
            self._say("error", {"detail": detail})

    def _say(self, kind: str, body: dict[str, str]) -> None:
        """Tell this watcher alone; it is no part of any channel's sequence."""
        at = datetime.fromtimestamp(self._now(), UTC)
        data = msgspec.Raw(msgspec.json.encode(body))
        item = Item.of(Envelope(kind, self._wanted[0], data, at, 0), "")
        if not self._is_closed and not self._outlet.offer(item):
            self.close(TOO_SLOW, "this watcher reads too slowly")
