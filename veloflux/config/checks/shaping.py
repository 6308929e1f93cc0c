"""What a route does with its requests beside sending them on."""

from collections.abc import Iterator

from veloflux.config.checks.admission import admission
from veloflux.config.problem import Finding
from veloflux.config.routes import Route
from veloflux.config.wording import Loc, quote, suggest

# What is about the way to a backend and back: a redirect comes before.
_BEYOND = (
    "strip_prefix",
    "preserve_host",
    "request_headers",
    "rate_limit",
    "max_body_bytes",
    "websocket",
    "mirror",
    "compression",
)


def shaping(route: Route, pools: frozenset[str] | None, loc: Loc) -> Iterator[Finding]:
    """Check one route; `pools` are the names there are, None when they are not known."""
    if route.redirect is not None:
        for key in _BEYOND:
            if key in route.model_fields_set:
                yield Finding((*loc, key), "has no effect with redirect; leave it out", "advice")
    if route.allow and route.deny:
        yield from admission(route.allow, route.deny, loc)
    if route.mirror is not None:
        yield from _mirror(route, route.mirror.pool, pools, (*loc, "mirror", "pool"))
    if route.cors is not None:
        yield from _cors(route, loc)


def _mirror(route: Route, name: str, pools: frozenset[str] | None, loc: Loc) -> Iterator[Finding]:
    if pools is not None and name not in pools:
        yield Finding(
            loc, f"no pool is called {quote(name)}; {suggest(name, sorted(pools))}", "conflict"
        )
    elif name == route.pool or any(share.pool == name for share in route.pools or ()):
        yield Finding(
            loc,
            f"{quote(name)} answers this route already: it gets these requests twice",
            "advice",
        )


def _cors(route: Route, loc: Loc) -> Iterator[Finding]:
    cors = route.cors
    if cors is None:
        return
    if cors.credentials:
        for key, names in (("origins", cors.origins), ("expose_headers", cors.expose_headers)):
            if "*" in names:
                yield Finding(
                    (*loc, "cors", key, names.index("*")),
                    'browsers refuse "*" with credentials; name each, or write credentials: false',
                    "conflict",
                )
    if route.headers:
        yield Finding(
            (*loc, "headers"),
            "browsers ask for leave without these headers, so the route of cors never sees it; "
            "give cors to a route without headers too",
            "advice",
        )
