"""One access-log line, as JSON or in the combined format.

Nothing in a value can end its string or the line, and no value is longer than _LONGEST. A query is
logged by its length alone, for it may hold secrets; referrers are logged without theirs.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from veloflux.core.wire.http1 import RequestHead
from veloflux.edge.outcome import Outcome

_LONGEST = 1024
_NONE = '""'

Line = Callable[[Outcome, float, float, str, int], str]
"""Of an outcome, the Unix time of its end, its seconds, its termination, the snapshot's version."""


def json_line(outcome: Outcome, wall: float, total: float, termination: str, version: int) -> str:
    """A JSON object; what does not apply is empty or 0."""
    downstream, head = outcome.downstream, outcome.head
    started, sent, answered = outcome.started, outcome.sent_at, outcome.answered_at
    backend = outcome.last_backend
    ttfb = _ms(answered - sent) if answered else "0.000"
    # On a kept connection with a short answer, the three times are one.
    waited = sent > started
    return (
        f'{{"ts":"{_rfc3339(wall)}","request_id":"{outcome.request_id.decode()}"'
        f"{downstream.text or _client_text(downstream)}{head.text or _head_text(downstream, head)}"
        f',"status":{outcome.status},"bytes_in":{outcome.bytes_in},"bytes_out":{outcome.bytes_out}'
        f',"route":{outcome.tally.text},"pool":{outcome.pool.text}'
        f',"backend":{backend.text if backend else _NONE},"attempts":{outcome.attempts}'
        f',"t":{{"connect_ms":{_ms(sent - started) if waited else "0.000"},"ttfb_ms":{ttfb}'
        f',"total_ms":{ttfb if total == answered - sent else _ms(total)}}}'
        f',"termination":"{termination}","error":"{outcome.error}","config_version":{version}}}\n'
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f}"


def _client_text(downstream: Any) -> str:
    """The part of a line that stays the same for a connection, or for a client behind a proxy."""
    text: str = (
        f',"listener":{downstream.listener.text},"client_ip":"{downstream.client}"'
        f',"peer_ip":"{downstream.peer}"'
    )
    downstream.text = text
    return text


def _head_text(downstream: Any, head: RequestHead) -> str:
    """The part that stays the same for a head."""
    listener = downstream.listener
    path = head.path.decode("ascii")
    if '"' in path or len(path) > _LONGEST:
        path = json.dumps(path[:_LONGEST])[1:-1]
    text = (
        f',"method":"{head.method.decode()}","scheme":"{listener.scheme.decode()}"'
        f',"host":"{head.host.decode()}","path":"{path}","query_len":{len(head.query)}'
        f',"protocol":"{listener.protocols[head.fields.minor]}"'
    )
    if head.raw:
        head.text = text
    return text


def combined_line(
    outcome: Outcome, wall: float, total: float, termination: str, version: int
) -> str:
    """The combined log format of Apache's httpd."""
    head, downstream = outcome.head, outcome.downstream
    when = datetime.fromtimestamp(wall, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
    protocol = downstream.listener.protocols[head.fields.minor]
    referrer = (head.fields.value(b"referer") or b"").partition(b"?")[0]
    agent = head.fields.value(b"user-agent") or b""
    return (
        f'{downstream.client} - - [{when}] "{_quoted(head.method + b" " + head.path)} {protocol}"'
        f' {outcome.status or "-"} {outcome.bytes_out or "-"} "{_quoted(referrer) or "-"}"'
        f' "{_quoted(agent) or "-"}"\n'
    )


def _quoted(value: bytes) -> str:
    """For between double quotes: nothing in it can end them or the line."""
    return "".join(
        character
        if character.isascii() and character.isprintable() and character not in '"\\'
        else f"\\x{ord(character):02x}"
        for character in value[:_LONGEST].decode("latin-1")
    )


_second = -1
_prefix = ""


def _rfc3339(wall: float) -> str:
    """`wall` in UTC with milliseconds; the part down to the second is made once a second."""
    global _second, _prefix
    second = int(wall)
    if second != _second:
        _prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        _second = second
    return f"{_prefix}.{int((wall - second) * 1000):03d}Z"
