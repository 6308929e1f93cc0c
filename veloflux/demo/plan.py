"""What a configuration file lets be seen: its addresses, and who may sign in where.

This reads the few keys that a demonstration prints and starts, no more: whether the file is right
is for the daemon to say.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class PlanError(Exception):
    """The file cannot be read, or has nothing to demonstrate."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Addresses are `host:port` as text; `password` is empty when the daemon makes one."""

    http: tuple[str, ...]
    https: tuple[str, ...]
    tcp: tuple[str, ...]
    backends: tuple[str, ...]
    admin: str
    username: str
    password: str
    password_file: Path

    @property
    def addresses(self) -> tuple[str, ...]:
        """All that must be free before anything starts."""
        return (*self.backends, *self.http, *self.https, *self.tcp, self.admin)


def split(address: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` as what a socket call takes; raises ValueError."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _variables(text: str) -> str:
    return _VARIABLE.sub(lambda m: os.environ.get(m["name"]) or m["default"] or "", text)


def _loopback(address: str) -> bool:
    return address.rpartition(":")[0] in _LOOPBACK


def read(file: Path) -> Plan:
    """Read the configuration at `file`; raises PlanError."""
    try:
        document: Any = yaml.safe_load(_variables(file.read_text()))
        admin = document.get("admin") or {}
        listeners = document["listeners"]
        backends = [
            str(backend["address"])
            for pool in document["pools"]
            for backend in pool.get("backends") or ()
        ]
        return Plan(
            http=_addresses(listeners, "http", secure=False),
            https=_addresses(listeners, "http", secure=True),
            tcp=_addresses(listeners, "tcp"),
            backends=tuple(dict.fromkeys(filter(_loopback, backends))),
            admin=str(admin.get("address", "127.0.0.1:9090")),
            username=str(admin.get("username", "admin")),
            password=str(admin.get("password") or ""),
            password_file=file.parent / str(document.get("data_dir", "var")) / "admin-password",
        )
    except OSError as error:
        raise PlanError(f"{file}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise PlanError(f"{file}: {error}") from error
    except (AttributeError, KeyError, TypeError) as error:
        raise PlanError(
            f"{file}: no listeners and pools to demonstrate; `veloflux check {file}` says more"
        ) from error


def _addresses(
    listeners: list[dict[str, Any]], protocol: str, *, secure: bool | None = None
) -> tuple[str, ...]:
    """Of those of one protocol; `secure` asks for TLS, or for none."""
    return tuple(
        str(listener["address"])
        for listener in listeners
        if listener.get("protocol", "http") == protocol
        and secure in (None, bool(listener.get("tls")))
    )
