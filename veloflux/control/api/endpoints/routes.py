"""Routes: which requests go where."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from veloflux.config.filled import filled
from veloflux.config.routes import Route
from veloflux.control.api.changing import Preview, Why, change
from veloflux.control.api.endpoint import Asked, Endpoint, Reply
from veloflux.control.api.parts import Part
from veloflux.control.services.configuration import edits
from veloflux.control.services.configuration.masks import masked_route

_TITLE = {"title": Annotated[str, Field(description="What logs and metrics call it.")]}

NewRoute = Annotated[dict[str, Any], Part(Route)]
RoutePart = Annotated[dict[str, Any], Part(Route, more=_TITLE)]
RouteChanges = Annotated[dict[str, Any], Part(Route, partial=True, more=_TITLE)]


async def get_routes(asked: Asked) -> list[RoutePart]:
    """List all routes, as in the configuration; values that may be secrets are masked."""
    routes = edits.items(asked.services.configuration.current().document, "routes")
    found: list[RoutePart] = await asked.services.observatory.in_thread(
        lambda: [shown(route) for route in routes]
    )
    return found


async def get_route(asked: Asked, id: str) -> RoutePart:
    """Show a route, as in the configuration; values that may be secrets are masked."""
    return _route(asked, id)


async def add_route(asked: Asked, query: Why, body: NewRoute) -> Reply[RoutePart | Preview]:
    """Add a route; an id is made of its host and prefix when it has none."""
    preview = await change(asked, edits.add_route(body), query.reason)
    if preview is not None:
        return Reply(preview, 200)
    id = edits.route_id(edits.title(body))
    return Reply(_route(asked, id), location=f"/api/routes/{id}")


async def update_route(
    asked: Asked, id: str, query: Why, body: RouteChanges
) -> RoutePart | Preview:
    """Change a route: what is left out stays, and so does a value that comes back as its mask."""
    body.pop("title", None)
    if body.get("id") in (id, None):
        body.pop("id", None)
    preview = await change(asked, edits.update_route(id, body), query.reason)
    return preview or _route(asked, id)


async def delete_route(asked: Asked, id: str, query: Why) -> None:
    """Delete a route."""
    await change(asked, edits.delete_route(id), query.reason)


def shown(route: Mapping[str, Any]) -> dict[str, Any]:
    """A route as it is given to callers."""
    title = edits.title(route)
    return {**filled(Route, masked_route(route)), "id": edits.route_id(title), "title": title}


def _route(asked: Asked, id: str) -> dict[str, Any]:
    _, route = edits.find_route(asked.services.configuration.current().document, id)
    return shown(route)


_MORE: Any = {"has_dry_run": True, "problems": (409, 503)}
_ONE = "/api/routes/{id}"

ROWS = (
    Endpoint("GET", "/api/routes", "routes:read", get_routes, has_etag=True),
    Endpoint(
        "POST", "/api/routes", "routes:write", add_route,
        status=201, also=(200,), takes_key=True, **_MORE,
    ),
    Endpoint("GET", _ONE, "routes:read", get_route, has_etag=True),
    Endpoint("PUT", _ONE, "routes:write", update_route, has_etag=True, **_MORE),
    Endpoint("DELETE", _ONE, "routes:write", delete_route, status=204, **_MORE),
)  # fmt: skip
