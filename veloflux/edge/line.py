"""One access-log line, as JSON or in the combined format.

Nothing in a value can end its string or the line, and no value is longer than _LONGEST. A query is
logged by its length alone, for it may hold secrets; referrers are logged without theirs.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime

from veloflux.edge.outcome import Outcome

_LONGEST = 1024
_NONE = '""'

Line = Callable[[Outcome, float, float, str, int], str]
"""Of an outcome, the Unix time of its end, its seconds, its termination, the snapshot's version."""


def json_line(outcome: Outcome, wall: float, total: float, termination: str, version: int) -> str:
    """A JSON object; what does not apply is empty or 0."""
    downstream = outcome.downstream
    listener = downstream.listener
    head = outcome.head
    backend = outcome.last_backend
    started, sent, answered = outcome.started, outcome.sent_at, outcome.answered_at
    path = head.path
    if b'"' in path or len(path) > _LONGEST:
        path = json.dumps(path[:_LONGEST].decode("ascii"))[1:-1].encode("ascii")
    return (
        f'{{"ts":"{_rfc3339(wall)}","request_id":"{outcome.request_id.decode()}"'
        f',"listener":{listener.text},"client_ip":"{downstream.client}"'
        f',"peer_ip":"{downstream.peer}","method":"{head.method.decode()}"'
        f',"scheme":"{listener.scheme.decode()}","host":"{head.host.decode()}"'
        f',"path":"{path.decode()}","query_len":{len(head.query)}'
        f',"protocol":"{listener.protocols[head.fields.minor]}","status":{outcome.status}'
        f',"bytes_in":{outcome.bytes_in},"bytes_out":{outcome.bytes_out}'
        f',"route":{outcome.tally.text},"pool":{outcome.pool.text}'
        f',"backend":{backend.text if backend else _NONE},"attempts":{outcome.attempts}'
        f',"t":{{"connect_ms":{(sent - started) * 1e3 if sent else 0.0:.3f}'
        f',"ttfb_ms":{(answered - sent) * 1e3 if answered else 0.0:.3f}'
        f',"total_ms":{total * 1e3:.3f}}},"termination":"{termination}"'
        f',"error":"{outcome.error}","config_version":{version}}}\n'
    )


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
