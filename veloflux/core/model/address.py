"""Where something listens or is reached."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Self

_HOST_PORT = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9.])?)):(?P<port>\d{1,5})"
)


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
        host = match["host"]
        if host is None:
            try:
                host = str(IPv6Address(match["v6"]))
            except ValueError as error:
                raise ValueError(f"{text!r}: {error}") from None
        return cls(host=host.lower(), port=port)

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
