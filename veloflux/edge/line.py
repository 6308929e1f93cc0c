"""One access-log line, as JSON or in the combined format.

Every value is escaped, none is longer than _LONGEST; a query is logged by its length alone, for it
may hold secrets, and so are the queries of referrers left out.
"""

import json
from datetime import UTC, datetime
from typing import NamedTuple

_LONGEST = 1024


class Entry(NamedTuple):
    """What one request or relayed connection leaves behind. Times in seconds, sizes in bytes."""

    wall: float
    request_id: bytes
    listener: str
    client: str
    peer: str
    method: bytes
    scheme: bytes
    host: bytes
    path: bytes
    query_len: int
    protocol: str
    status: int
    bytes_in: int
    bytes_out: int
    route: str
    pool: str
    backend: str
    attempts: int
    connect: float
    ttfb: float
    total: float
    termination: str
    error: str
    version: int
    referrer: bytes
    agent: bytes


def json_line(entry: Entry) -> str:
    """A JSON object and a line feed; what does not apply is left empty or 0."""
    (
        wall,
        request_id,
        listener,
        client,
        peer,
        method,
        scheme,
        host,
        path,
        query_len,
        protocol,
        status,
        bytes_in,
        bytes_out,
        route,
        pool,
        backend,
        attempts,
        connect,
        ttfb,
        total,
        termination,
        error,
        version,
        _,
        _,
    ) = entry
    return (
        f'{{"ts":"{_rfc3339(wall)}","request_id":"{request_id.decode()}","listener":{_text(listener)}'
        f',"client_ip":"{client}","peer_ip":"{peer}","method":"{method.decode()[:64]}"'
        f',"scheme":"{scheme.decode()}","host":{_text(host.decode())},"path":{_text(path.decode())}'
        f',"query_len":{query_len},"protocol":"{protocol}","status":{status},"bytes_in":{bytes_in}'
        f',"bytes_out":{bytes_out},"route":{_text(route)},"pool":{_text(pool)},"backend":{_text(backend)}'
        f',"attempts":{attempts},"t":{{"connect_ms":{connect * 1e3:.3f},"ttfb_ms":{ttfb * 1e3:.3f}'
        f',"total_ms":{total * 1e3:.3f}}},"termination":"{termination}","error":"{error}"'
        f',"config_version":{version}}}\n'
    )


def combined_line(entry: Entry) -> str:
    """The combined log format of Apache's httpd."""
    when = datetime.fromtimestamp(entry.wall, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
    request = _quoted(b"%b %b" % (entry.method, entry.path))
    return (
        f'{entry.client} - - [{when}] "{request} {entry.protocol}" {entry.status or "-"}'
        f' {entry.bytes_out or "-"} "{_quoted(entry.referrer.partition(b"?")[0]) or "-"}"'
        f' "{_quoted(entry.agent) or "-"}"\n'
    )


def _text(value: str) -> str:
    return (
        f'"{value}"'
        if value.isascii()
        and value.isprintable()
        and '"' not in value
        and "\\" not in value
        and len(value) <= _LONGEST
        else json.dumps(value[:_LONGEST])
    )


def _quoted(value: bytes) -> str:
    """Between double quotes: nothing in it can end them or the line."""
    text = value[:_LONGEST].decode("latin-1")
    if '"' not in text and "\\" not in text and text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if character.isascii() and character.isprintable() and character not in '"\\'
        else f"\\x{ord(character):02x}"
        for character in text
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
