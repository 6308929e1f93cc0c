"""Where something listens or is reached."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Self

_HOST_PORT = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]"
    r"|(?P<host>[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    r"(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?))"
    # ASCII digits without leading zeros: one port, one spelling.
    r":(?P<port>0|[1-9][0-9]{0,4})"
)
# Resolvers read a name whose last label is a number as IPv4 in old spellings: 127.1, 0177.0.0.1,
# 0x7f000001, 2130706433 (WHATWG URL, "ends in a number"). Only the dotted form is taken.
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """`host:port`, or a Unix socket when `path` is set; the text form is its identity."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host:port`, `[v6]:port` or `unix:/path`.

        Raises ValueError, saying what is wrong and what would be right.
        """
        if text.startswith("unix:"):
            path = text.removeprefix("unix:")
            if not path.startswith("/") or "\0" in path:
                raise ValueError(f"{text!r} needs an absolute path, like unix:/run/app.sock")
            if len(path.encode()) > 107:
                raise ValueError(f"{text!r} is too long for a socket: 107 bytes at most")
            return cls(path=path)
        match = _HOST_PORT.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no address; write host:port, [v6]:port or unix:/path")
        port = int(match["port"])
        if port > 65535:
            raise ValueError(f"{text!r}: a port is at most 65535")
        return cls(host=_canonical(text, match["host"], match["v6"]), port=port)

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _canonical(text: str, name: str | None, v6: str | None) -> str:
    try:
        if name is None:
            return str(IPv6Address(v6 or ""))
        if _NUMERIC.fullmatch(name):
            return str(IPv4Address(name))
    except ValueError:
        raise ValueError(
            f"{text!r} has no valid IP address; write 127.0.0.1:80 or [::1]:80"
        ) from None
    if len(name) > 253:
        raise ValueError(f"{text!r}: a host name has 253 characters at most")
    return name.lower()
