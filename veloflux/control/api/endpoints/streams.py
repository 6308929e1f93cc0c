"""Steering the streams, and the tickets that let browsers in.

The streams themselves are WebSockets, which OpenAPI has no words for: GET `/api/ws/` and a channel.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from veloflux.control.api.endpoint import SIGNED_IN, Asked, Endpoint
from veloflux.control.services.tickets import LIFETIME_S

Channel = Literal["backends", "metrics", "status", "health", "logs", "all"]
Action = Literal["pause", "resume", "force-update"]


class Control(BaseModel):
    """What is to be done with which channels."""

    model_config = ConfigDict(extra="forbid")

    action: Action
    type: Channel = Field("all", description="The channel.")


class Update(BaseModel):
    """Which channels."""

    model_config = ConfigDict(extra="forbid")

    type: Channel = Field("all", description="The channel.")


@dataclass(frozen=True, slots=True)
class Controlled:
    """What was done, and which channels are paused now."""

    status: Literal["ok"]
    action: Action
    type: Channel
    paused: list[str]


@dataclass(frozen=True, slots=True)
class Forced:
    """Which channels were sent."""

    status: Literal["ok"]
    forced: list[str]


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket, and for how many seconds it is good."""

    ticket: str
    expires_in: int


def control(asked: Asked, body: Control) -> Controlled:
    """Pause or resume channels for everybody, or send all of them now."""
    feed = asked.services.feed
    steer = {"pause": feed.pause, "resume": feed.resume, "force-update": feed.force}
    steer[body.action](_named(asked, body.type))
    return Controlled("ok", body.action, body.type, sorted(feed.paused))


def force_update(asked: Asked, body: Update | None) -> Forced:
    """Send all of a channel to everybody who watches it, now."""
    names = _named(asked, body.type if body is not None else "all")
    asked.services.feed.force(names)
    return Forced("ok", names)


def ticket(asked: Asked) -> Ticket:
    """Give a ticket for one WebSocket, as `?ticket=`: a browser's can carry no header.

    The streams are GET `/api/ws/backends`, `/metrics`, `/status`, `/health` and `/logs`, with an
    upgrade.
    """
    return Ticket(asked.services.tickets.issue(asked.principal), int(LIFETIME_S))


def _named(asked: Asked, channel: Channel) -> list[str]:
    return list(asked.services.feed.topics) if channel == "all" else [channel]


ROWS = (
    Endpoint("POST", "/api/ws/control", "streams:control", control),
    Endpoint("POST", "/api/ws/force-update", "streams:control", force_update),
    Endpoint("POST", "/api/ws/ticket", SIGNED_IN, ticket, is_audited=False),
)
