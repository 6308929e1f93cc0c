"""The same configuration with the present content of its files: certificates that were replaced.

Runs in a thread: it opens files. What cannot be used is left as it was, and said; a certificate
that comes a moment before its key is right the next time.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from veloflux.config import pem
from veloflux.config.shelf import Shelf
from veloflux.core.model.node import Node
from veloflux.core.model.tls import BackendTls, Certificate, Document, ListenerTls

Marks = tuple[tuple[str, int, int, int], ...]
"""By which a replaced file is known: its path, inode, size and time."""


@dataclass(slots=True)
class Renewed:
    """`problems` are reasons for which a file was left as it was, `concerns` what will be wrong."""

    node: Node
    problems: list[str] = field(default_factory=list)
    concerns: list[str] = field(default_factory=list)


def marks(node: Node) -> Marks:
    """What its files are known by now; one that is not there has zeros."""
    return tuple(_mark(path) for path in sorted({each.path for each in _documents(node)}))


def renew(node: Node, now: datetime) -> Renewed:
    """Read all files of `node` again."""
    reading = _Reading(now)
    listeners = tuple(
        each if each.tls is None else replace(each, tls=reading.listener(each.tls))
        for each in node.snapshot.listeners
    )
    pools = tuple(
        replace(
            pool,
            backends=tuple(
                each if each.tls is None else replace(each, tls=reading.backend(each.tls))
                for each in pool.backends
            ),
        )
        for pool in node.snapshot.pools
    )
    snapshot = replace(node.snapshot, listeners=listeners, pools=pools)
    admin = node.admin
    if admin.tls is not None:
        admin = replace(admin, tls=reading.listener(admin.tls))
    concerns = list(dict.fromkeys(reading.concerns))
    return Renewed(
        replace(node, admin=admin, snapshot=snapshot),
        list(dict.fromkeys(reading.problems)),
        concerns,
    )


class _Reading:
    def __init__(self, now: datetime) -> None:
        self.problems: list[str] = []
        self.concerns: list[str] = []
        self._now = now
        self._shelf = Shelf("/", now)

    def listener(self, tls: ListenerTls) -> ListenerTls:
        certificates = tuple(
            Certificate(*self._pair(each.cert, each.key)) for each in tls.certificates
        )
        return replace(tls, certificates=certificates, client_ca=self._authorities(tls.client_ca))

    def backend(self, tls: BackendTls) -> BackendTls:
        cert, key = tls.cert, tls.key
        if cert is not None and key is not None:
            cert, key = self._pair(cert, key)
        return replace(tls, ca=self._authorities(tls.ca), cert=cert, key=key)

    def _pair(self, cert: Document, key: Document) -> tuple[Document, Document]:
        path = cert.path
        try:
            fresh = self._shelf.take(path)
            chain = pem.certificates(fresh.content)
            pem.check_strength(chain[0])
            path = key.path
            fresh_key = self._shelf.take(path)
            pem.check_pair(chain[0], pem.public_key(fresh_key.content))
            path = cert.path
            self.concerns += (f"{path} {each}" for each in pem.concerns(chain, self._now))
            if fresh != cert:
                pem.check_time(chain[0], self._now)
        except (OSError, ValueError) as problem:
            self._say(path, problem)
            return cert, key
        return fresh, fresh_key

    def _authorities(self, before: Document | None) -> Document | None:
        if before is None:
            return None
        try:
            fresh = self._shelf.take(before.path)
            pem.certificates(fresh.content)
        except (OSError, ValueError) as problem:
            self._say(before.path, problem)
            return before
        return fresh

    def _say(self, path: str, problem: Exception) -> None:
        why = problem.strerror if isinstance(problem, OSError) else str(problem)
        self.problems.append(f"{path} {why}")


def _documents(node: Node) -> Iterator[Document]:
    for tls in (node.admin.tls, *(each.tls for each in node.snapshot.listeners)):
        if tls is not None:
            for pair in tls.certificates:
                yield pair.cert
                yield pair.key
            if tls.client_ca is not None:
                yield tls.client_ca
    for pool in node.snapshot.pools:
        for backend in pool.backends:
            if backend.tls is not None:
                for each in (backend.tls.ca, backend.tls.cert, backend.tls.key):
                    if each is not None:
                        yield each


def _mark(path: str) -> tuple[str, int, int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return path, 0, 0, 0
    return path, found.st_ino, found.st_size, found.st_mtime_ns
