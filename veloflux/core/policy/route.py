"""Which route takes this request?

The most specific match wins: an exact host before a wildcard one (the longest suffix first) before
any host; within a host the longest path prefix, by whole segments; then the order of the
configuration. A candidate whose methods or headers do not match is passed over and the search goes
on to less specific ones, also from one host to the next. So a route for `example.org/api` leaves
`example.org/` to a route for any host.

The price of a search does not grow with the number of routes: hosts and prefixes are dictionary
keys, and a path is looked up once for each length that the prefixes of its host have, if a cut of
that length ends at a slash; so `/////…` buys no more look-ups than there are such lengths. Only
routes of one host and one prefix, told apart by methods and headers, are tried one by one.

A browser asks beforehand, with an OPTIONS, what another origin's page may do (CORS). A route that
says what it may is found for that by the method that the page wants, if its methods leave OPTIONS
out. A route's headers must match as ever, and such a question carries none of the page's own.
"""

from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import neg
from typing import Generic, NamedTuple, TypeVar

from veloflux.core.model.traffic import Route
from veloflux.core.policy.cors import REQUEST_METHOD

T = TypeVar("T")

Field = Callable[[bytes], bytes | None]

_SLASH = ord("/")


class Candidate(NamedTuple, Generic[T]):
    """What a request must have beside its host and path, and what it then gets; `methods` None for
    any."""

    methods: frozenset[bytes] | None
    headers: tuple[tuple[bytes, bytes], ...]
    target: T


Take = Callable[[Sequence[Candidate[T]], bytes, Field], T | None]
"""Of candidates of one host and prefix, a method and fields, what the first that matches gets."""


class _Paths(Generic[T]):
    """The routes of one host, by path prefix without its last slash; `/` is the root.

    Of ten thousand routes few are in the processor's cache, so a search must not go to many places.
    Hence tuples, which are one where lists are two, and prefixes that hosts have in common.
    """

    __slots__ = ("lengths", "prefixes", "root")

    def __init__(self) -> None:
        self.root: list[Candidate[T]] = []
        self.prefixes: dict[bytes, tuple[Candidate[T], ...]] = {}
        # Those that prefixes have, the longest first.
        self.lengths: list[int] = []

    def add(self, prefix: bytes, candidate: Candidate[T]) -> None:
        if not prefix:
            self.root.append(candidate)
            return
        self.prefixes[prefix] = (*self.prefixes.get(prefix, ()), candidate)
        if len(prefix) not in self.lengths:
            insort(self.lengths, len(prefix), key=neg)

    def find(self, path: bytes, method: bytes, field: Field, take: Take[T]) -> T | None:
        size = len(path)
        for length in self.lengths:
            # A prefix ends where the path does or before a slash.
            if length > size or (length < size and path[length] != _SLASH):
                continue
            candidates = self.prefixes.get(path[:length])
            if candidates is not None:
                found = take(candidates, method, field)
                if found is not None:
                    return found
        return take(self.root, method, field)


def first(candidates: Sequence[Candidate[T]], method: bytes, field: Field) -> T | None:
    """What the first of `candidates` that matches gets."""
    for methods, headers, target in candidates:
        if methods is not None and method not in methods:
            continue
        for name, value in headers:
            if field(name) != value:
                break
        else:
            return target
    return None


class Table(Generic[T]):
    """Routes and what each stands for; built at once, or in slices with `add`."""

    __slots__ = ("_any", "_exact", "_longest_suffix", "_prefixes", "_size", "_sole", "_suffixes")

    def __init__(self, entries: Iterable[tuple[Route, T]] = ()) -> None:
        self._exact: dict[bytes, _Paths[T]] = {}
        self._suffixes: dict[bytes, _Paths[T]] = {}
        self._longest_suffix = 0
        self._any: _Paths[T] = _Paths()
        self._prefixes: dict[bytes, bytes] = {}
        self._size = 0
        # The one route of a table that has no other and that no request can miss.
        self._sole: T | None = None
        for route, target in entries:
            self.add(route, target)

    def __len__(self) -> int:
        return self._size

    def add(self, route: Route, target: T) -> None:
        """Put one route after those already there, in about 3 µs.

        Raises ValueError when its host is not ASCII: a Host field never is.
        """
        self._size += 1
        prefix = route.path_prefix.encode().rstrip(b"/")
        prefix = self._prefixes.setdefault(prefix, prefix)
        paths = self._paths(route.host)
        for candidate in _candidates(route, target):
            paths.add(prefix, candidate)
        is_sole = self._size == 1 and bool(self._any.root)
        self._sole = target if is_sole and not (route.methods or route.headers) else None

    def _paths(self, host: str) -> _Paths[T]:
        if host == "*":
            return self._any
        key = host.lower().rstrip(".").encode("ascii")
        if not key.startswith(b"*."):
            return self._exact.setdefault(key, _Paths())
        self._longest_suffix = max(self._longest_suffix, len(key) - 1)
        return self._suffixes.setdefault(key[1:], _Paths())

    def find(self, host: bytes, path: bytes, method: bytes, field: Field) -> T | None:
        """What the most specific matching route stands for, or None.

        `host` is lower-case without port or last dot, `path` normalised and without query;
        `field` gives the value of the request's field with a lower-case name. `*.example.org`
        matches one or more labels before `example.org`, and not `example.org` itself. A path
        without a slash (`*` of OPTIONS) is matched by `/` alone.
        """
        return self._sole if self._sole is not None else self.search(host, path, method, field)

    def search(
        self, host: bytes, path: bytes, method: bytes, field: Field, take: Take[T] = first
    ) -> T | None:
        """The same, with `take` asked at each host and prefix that match, the most specific first,
        until it has found something."""
        if self._exact:
            paths = self._exact.get(host)
            if paths is not None:
                found = paths.find(path, method, field, take)
                if found is not None:
                    return found
        if self._suffixes:
            # The longest suffix begins at the first dot; at least one octet stands before it.
            dot = host.find(b".", max(1, len(host) - self._longest_suffix))
            while dot != -1:
                paths = self._suffixes.get(host[dot:])
                if paths is not None:
                    found = paths.find(path, method, field, take)
                    if found is not None:
                        return found
                dot = host.find(b".", dot + 1)
        return self._any.find(path, method, field, take)

    def hosts(self) -> Iterator[_Paths[T]]:
        """The routes by hosts, in no order."""
        yield from self._exact.values()
        yield from self._suffixes.values()
        yield self._any


def _candidates(route: Route, target: T) -> Iterator[Candidate[T]]:
    methods = frozenset(map(str.encode, route.methods)) if route.methods else None
    headers = tuple((name.lower().encode(), value.encode()) for name, value in route.headers)
    yield Candidate(methods, headers, target)
    if route.cors is not None and methods is not None and b"OPTIONS" not in methods:
        for method in sorted(methods):
            asked = (REQUEST_METHOD, method)
            yield Candidate(frozenset((b"OPTIONS",)), (*headers, asked), target)
