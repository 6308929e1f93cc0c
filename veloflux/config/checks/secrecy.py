"""Certificates and keys: there, readable, of one pair, and not expired."""

from collections.abc import Callable, Generator, Iterator
from datetime import datetime
from typing import TypeVar

from cryptography import x509

from veloflux.config import pem
from veloflux.config.draft import Draft
from veloflux.config.pools import Backend
from veloflux.config.problem import Finding
from veloflux.config.shelf import Shelf
from veloflux.config.tls import ListenerTls
from veloflux.config.wording import Loc

_Read = TypeVar("_Read")


def secrecy(draft: Draft, shelf: Shelf, now: datetime) -> Iterator[Finding]:
    """Check what TLS is spoken with, towards clients and backends."""
    secrets: set[str] = set()
    checker = _Checker(shelf, now, secrets)
    for i, listener in draft.listeners.items():
        if listener.tls is not None:
            loc = ("listeners", i, "tls")
            yield from _server(listener.tls, loc, checker)
            if listener.protocol == "tcp" and "alpn" in listener.tls.model_fields_set:
                yield _useless((*loc, "alpn"), "on a tcp listener")
    if draft.admin is not None and draft.admin.tls is not None:
        yield from _server(draft.admin.tls, ("admin", "tls"), checker)
        if "alpn" in draft.admin.tls.model_fields_set:
            yield _useless(("admin", "tls", "alpn"), "here, where HTTP/1.1 is spoken")
    for i, pool in draft.pools.items():
        for k, backend in enumerate(pool.backends):
            if backend.tls is not None:
                yield from _backend(backend, ("pools", i, "backends", k, "tls"), checker)


def _useless(loc: Loc, where: str) -> Finding:
    return Finding(loc, f"has no effect {where}; leave it out", "advice")


def _server(tls: ListenerTls, loc: Loc, checker: "_Checker") -> Iterator[Finding]:
    if not tls.certificates and not tls.self_signed:
        yield Finding((*loc, "certificates"), "are none; write cert and key of one", "conflict")
    if any("*" in name for name in tls.self_signed):
        wrong = "names hosts, and * is none; write localhost"
        yield Finding((*loc, "self_signed"), wrong, "conflict")
    for k, pair in enumerate(tls.certificates):
        yield from checker.pair((*loc, "certificates", k), pair.cert, pair.key)
    if tls.client_ca is not None:
        yield from checker.authorities((*loc, "client_ca"), tls.client_ca)


def _backend(backend: Backend, loc: Loc, checker: "_Checker") -> Iterator[Finding]:
    tls = backend.tls
    assert tls is not None
    if tls.insecure_skip_verify:
        yield Finding(
            (*loc, "insecure_skip_verify"),
            f"{backend.address} may be anybody: its certificate is not verified; write ca or "
            "server_name instead",
            "advice",
        )
    elif backend.address.path and tls.server_name is None:
        yield Finding(loc, "a Unix socket has no name to verify; write server_name", "conflict")
    if tls.ca is not None:
        yield from checker.authorities((*loc, "ca"), tls.ca)
    if (tls.cert is None) != (tls.key is None):
        missing = "key" if tls.key is None else "cert"
        yield Finding(loc, f"{missing} is missing; cert and key go together", "conflict")
    elif tls.cert is not None and tls.key is not None:
        yield from checker.pair(loc, tls.cert, tls.key)


class _Checker:
    """Looks at files; a key that everybody can read is told once."""

    def __init__(self, shelf: Shelf, now: datetime, told: set[str]) -> None:
        self._shelf = shelf
        self._now = now
        self._told = told

    def pair(self, loc: Loc, cert: str, key: str) -> Iterator[Finding]:
        chain = yield from self._read((*loc, "cert"), cert, pem.certificates)
        public = yield from self._read((*loc, "key"), key, pem.public_key)
        if public is not None and key not in self._told and self._shelf.is_public(key):
            self._told.add(key)
            yield Finding(
                (*loc, "key"),
                "every user of this machine can read it; chmod o-r the file",
                "advice",
            )
        if chain is None:
            return
        yield from _refused((*loc, "cert"), lambda: pem.check_strength(chain[0]))
        if public is not None:
            yield from _refused((*loc, "key"), lambda: pem.check_pair(chain[0], public))
        expired = list(_refused((*loc, "cert"), lambda: pem.check_time(chain[0], self._now)))
        yield from expired
        if not expired:
            yield from self._concerns((*loc, "cert"), chain)

    def authorities(self, loc: Loc, path: str) -> Iterator[Finding]:
        found = yield from self._read(loc, path, pem.certificates)
        if found is not None:
            yield from self._concerns(loc, found)

    def _concerns(self, loc: Loc, chain: list[x509.Certificate]) -> Iterator[Finding]:
        for concern in pem.concerns(chain, self._now):
            yield Finding(loc, concern, "advice")

    def _read(
        self, loc: Loc, path: str, read: Callable[[bytes], _Read]
    ) -> "Generator[Finding, None, _Read | None]":
        try:
            return read(self._shelf.take(path).content)
        except OSError as error:
            why = error.strerror or type(error).__name__
            yield Finding(
                loc,
                f"cannot be read: {why}; give the path of a file that this user may read",
                "file",
            )
        except ValueError as error:
            yield Finding(loc, str(error), "conflict")
        return None


def _refused(loc: Loc, check: Callable[[], None]) -> Iterator[Finding]:
    try:
        check()
    except ValueError as error:
        yield Finding(loc, str(error), "conflict")
