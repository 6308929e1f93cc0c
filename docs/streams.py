"""docs/reference/streams.md: channels, messages, codes and limits."""

import inspect
from collections.abc import Iterable

import msgspec

from veloflux.control.services import feed, tickets
from veloflux.control.streams import outlet, server, session
from veloflux.control.streams.topics import CHANNELS

PAGE = """\
# Live data

<!-- Made from the code by `make docs`. Change veloflux/control/streams/ instead. -->

WebSockets (RFC 6455) on the admin listener: `GET /api/ws/` and a channel, also under `/api/v1/ws/`.
[How to watch](../howto/streams.md).

## Who may watch

Whoever has the permission of the channel, and shows it in one of three ways:

* the header `Authorization`, with a token, an API key, or a name and a password;
* `?ticket=`, from `POST /api/ws/ticket`: good once, for {ticket_s:g} seconds;
* the first message, within {auth_s:g} seconds: `{{"type": "auth", "token": "…"}}`.

A token in the address is refused, for addresses are logged. A handshake that is refused is answered
as any call of the [admin API](admin-api.md): 400 what is no handshake, 401, 403 also to pages of
other origins than the admin listener's and `admin.cors_origins`, 404, 426, 503 when nobody more can
watch. Every {look_s:g} seconds it is looked at whether what was shown still holds.

## Channels

{channels}
`?period=` in the address, or `period` in `subscribe`, is {least:g} to {most:g} seconds.

## What you read

One JSON object in each text message:

{fields}
All of the channel comes at once, then what changes, at most {per_s:g} times a second, and all of
it again every period. When more than {many} objects change at once, all of it says so shorter.

## What you may say

{messages}
A message is JSON of {message_bytes} bytes at most. What is wrong is answered with an `error`.

## How it ends

{codes}
## Limits

{limits}"""

FIELDS = {
    "type": "`connected` first, with a `client_id`; then the channel's name, or another type of the"
    " channel; `pong`; `error` with a `detail`",
    "channel": "whose it is",
    "data": "what it shows",
    "timestamp": "when, in UTC",
    "seq": "grows by one with each message to all who watch the channel alike; the first, which is"
    " yours alone, has that of the one before; 0 in what answers you",
    "forced": "true when somebody asked for it with `POST /api/ws/force-update`",
    "skipped": "how many states before this one were left out, because you read slowly",
}
LIMITS = {
    "connections": f"{server.MAX_WATCHERS}; of them {server.MAX_STRANGERS} who have not said yet"
    " who they are",
    "ways to watch (channel, filter, period)": f"{feed.MAX_GROUPS} different ones, and always those"
    " without filter and period",
    "what you say": f"{session.BURST} messages, pings and frames at once, {session.PER_SECOND:g} a"
    " second",
    "what waits for you": f"the latest state of each object, {outlet.LIMIT} messages at most; no"
    f" room on the way for {session.STALLED_S:g} seconds is the end",
    "what is kept for `resync`": f"{feed.KEPT} messages, {feed.KEPT_BYTES >> 10} KiB",
    "pings": f"every {server.PING_S} seconds; an answer within {server.PONG_S}",
    "compression": "none: extensions are not agreed on",
}


def page() -> str:
    """The whole of it."""
    channels = [
        (
            f"`{name}`",
            f"`{each.permission}`" if each.permission else "a sign-in",
            f"{each.period_s:g} s",
            each.shows,
        )
        for name, each in CHANNELS.items()
    ]
    messages = [
        (
            f"`{each.__struct_config__.tag}`",
            ", ".join(f"`{field.name}`" for field in msgspec.structs.fields(each)),
            " ".join((inspect.getdoc(each) or "").split()),
        )
        for each in session.MESSAGES
    ]
    return PAGE.format(
        channels=_table("channel | needs | period | ", channels),
        fields=_table("field | ", [(f"`{name}`", does) for name, does in FIELDS.items()]),
        messages=_table("type | fields | ", messages),
        codes=_table("code | ", [(str(code), why) for code, why in sorted(session.CODES.items())]),
        limits=_table(" | ", LIMITS.items()),
        ticket_s=tickets.LIFETIME_S,
        auth_s=session.AUTH_DEADLINE_S,
        look_s=server.LOOK_S,
        least=feed.MIN_PERIOD_S,
        most=feed.MAX_PERIOD_S,
        per_s=1 / feed.TICK_S,
        many=feed.MANY,
        message_bytes=server.MAX_MESSAGE_BYTES,
    )


def _table(head: str, rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, " | ".join(["---"] * (head.count("|") + 1)), *map(" | ".join, rows)]
    return "".join(f"| {line} |\n" for line in lines)
