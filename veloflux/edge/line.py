"""One access-log line, as JSON or in the combined format.

Nothing in a value can end its string or the line, and no value is longer than _LONGEST. A query is
logged by its length alone, for it may hold secrets; referrers are logged without theirs.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from veloflux.core.wire.http1 import RequestHead
from veloflux.edge.outcome import Outcome

_LONGEST = 1024
_NO_TIME = "0.000"
_DASH = "-"
_UNQUOTED = re.compile(r'["\\]|[^ -~]')

Line = Callable[[Outcome, float, float, str, int], str]
"""Of an outcome, the Unix time of its end, its seconds, its termination, and the revision."""


def json_line(outcome: Outcome, wall: float, total: float, termination: str, version: int) -> str:
    """A JSON object; what does not apply is empty or 0."""
    downstream, head, status = outcome.downstream, outcome.head, outcome.status
    started, sent, answered = outcome.started, outcome.sent_at, outcome.answered_at
    ttfb = f"{(answered - sent) * 1e3:.3f}" if answered else _NO_TIME
    # On a kept connection, with a short answer, nothing else takes time.
    queued = outcome.queued_s
    queue = f"{queued * 1e3:.3f}" if queued else _NO_TIME
    connect = f"{(sent - started - queued) * 1e3:.3f}" if sent > started else _NO_TIME
    all_ms = ttfb if total == answered - sent else f"{total * 1e3:.3f}"
    client = downstream.text or _client_text(downstream)
    request = head.as_json or _head_text(downstream, head)
    backend = outcome.last_backend
    if backend is not None:
        place, reason = backend.text, outcome.pick_reason or outcome.pool.chooser.reason
    else:
        place, reason = f'"pool":{outcome.pool.text},"backend":""', ""
    sizes = _sizes(status, outcome.bytes_in, outcome.bytes_out)
    tries = _tries(reason, outcome.ratelimit, outcome.attempts)
    # Of more than thirty pieces CPython makes a list first (3.11 at least).
    return (
        f'{{"ts":"{_rfc3339.at(wall)}{_MILLISECONDS[int(wall % 1 * 1000)]}"'
        f',"request_id":"{outcome.request_id.decode()}","trace_id":"{outcome.trace_id}"'
        f'{client}{request}{sizes},"route":{outcome.tally.text},{place}{tries}'
        f',"t":{{"queue_ms":{queue},"connect_ms":{connect},"ttfb_ms":{ttfb},"total_ms":{all_ms}}}'
        f"{_ending(termination, outcome.error, version)}"
    )


# What comes again is written once: to find one text costs less than to write a number, or to put
# several pieces together.


@lru_cache(maxsize=1024)
def _sizes(status: int, bytes_in: int, bytes_out: int) -> str:
    return f',"status":{status},"bytes_in":{bytes_in},"bytes_out":{bytes_out}'


@lru_cache(maxsize=64)
def _tries(reason: str, ratelimit: str, attempts: int) -> str:
    return f',"pick_reason":"{reason}","ratelimit":"{ratelimit}","attempts":{attempts}'


@lru_cache(maxsize=64)
def _ending(termination: str, error: str, version: int) -> str:
    return f',"termination":"{termination}","error":"{error}","config_version":{version}}}\n'


def _client_text(downstream: Any) -> str:
    """The part of a line that stays the same for a connection, or for a client behind a proxy."""
    text: str = (
        f',"listener":{downstream.listener.text},"client_ip":"{downstream.client}"'
        f',"peer_ip":"{downstream.sender or downstream.peer}"'
    )
    agreed = downstream.agreement
    if agreed is not None:
        text += (
            f',"tls":{{"version":"{agreed.version}","cipher":"{agreed.cipher}"'
            f',"sni":"{agreed.sni}"}}'
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
        f',"protocol":"{downstream.protocols[head.fields.minor]}"'
    )
    if head.raw:
        head.as_json = text
    return text


def combined_line(
    outcome: Outcome, wall: float, total: float, termination: str, version: int
) -> str:
    """The combined log format of Apache's httpd."""
    downstream, head = outcome.downstream, outcome.head
    request, agent = head.as_combined or _combined_texts(downstream, head)
    sizes = _clf_sizes(outcome.status, outcome.bytes_out)
    return f"{downstream.client} - - [{_clf.at(wall)}] {request}{sizes}{agent}\n"


@lru_cache(maxsize=1024)
def _clf_sizes(status: int, bytes_out: int) -> str:
    return f" {status or _DASH} {bytes_out or _DASH} "


def _combined_texts(downstream: Any, head: RequestHead) -> tuple[str, str]:
    """The parts that stay the same for a head: the request, and the referrer with the agent."""
    protocol = downstream.protocols[head.fields.minor]
    referrer = (head.fields.value(b"referer") or b"-").partition(b"?")[0]
    agent = head.fields.value(b"user-agent") or b"-"
    request = f'"{_quoted(head.method)} {_quoted(head.path)} {protocol}"'
    texts = request, f'"{_quoted(referrer)}" "{_quoted(agent)}"'
    if head.raw:
        head.as_combined = texts
    return texts


def _quoted(value: bytes) -> str:
    """For between double quotes: nothing in it can end them or the line."""
    return _UNQUOTED.sub(
        lambda match: f"\\x{ord(match[0]):02x}", value[:_LONGEST].decode("latin-1")
    )


class _Stamp:
    """Writes moments in UTC; all but a fraction is made once a second."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._begin = self._end = 0.0
        self._text = ""

    def at(self, wall: float) -> str:
        """`wall`, cut to the second."""
        if not self._begin <= wall < self._end:
            second = int(wall)
            self._begin, self._end = float(second), float(second + 1)
            self._text = datetime.fromtimestamp(second, UTC).strftime(self._pattern)
        return self._text


_clf = _Stamp("%d/%b/%Y:%H:%M:%S +0000")
_rfc3339 = _Stamp("%Y-%m-%dT%H:%M:%S")
_MILLISECONDS = [f".{number:03d}Z" for number in range(1000)]
