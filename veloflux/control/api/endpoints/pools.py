"""Pools: groups of backends that serve the same thing."""

from typing import Annotated, Any

from pydantic import Field

from veloflux.config.filled import filled
from veloflux.config.pools import Pool
from veloflux.control.api.changing import Preview, Why, change
from veloflux.control.api.endpoint import Asked, Endpoint, Reply
from veloflux.control.api.parts import Part
from veloflux.control.services.configuration import edits

PoolPart = Annotated[dict[str, Any], Part(Pool)]
PoolChanges = Annotated[dict[str, Any], Part(Pool, partial=True)]


class Deleting(Why):
    """How to delete."""

    force: bool = Field(False, description="Also delete the routes that lead there.")


async def get_pools(asked: Asked) -> list[PoolPart]:
    """List all pools, as in the configuration."""
    pools = edits.items(asked.services.configuration.current().document, "pools")
    found: list[PoolPart] = await asked.services.observatory.in_thread(
        lambda: [filled(Pool, pool) for pool in pools]
    )
    return found


async def get_pool(asked: Asked, name: str) -> PoolPart:
    """Show a pool, as in the configuration."""
    return _pool(asked, name)


async def add_pool(asked: Asked, query: Why, body: PoolPart) -> Reply[PoolPart | Preview]:
    """Add a pool; it may have no backends yet."""
    shown = await change(asked, edits.add_pool(body), query.reason)
    if shown is not None:
        return Reply(shown, 200)
    return Reply(_pool(asked, body["name"]), location=f"/api/pools/{body['name']}")


async def update_pool(asked: Asked, name: str, query: Why, body: PoolChanges) -> PoolPart | Preview:
    """Change a pool: what is left out stays, a section or list that is given is the new one."""
    shown = await change(asked, edits.update_pool(name, body), query.reason)
    return shown or _pool(asked, name)


async def delete_pool(asked: Asked, name: str, query: Deleting) -> None:
    """Delete a pool that nothing leads to."""
    await change(asked, edits.delete_pool(name, is_forced=query.force), query.reason)


def _pool(asked: Asked, name: str) -> dict[str, Any]:
    _, pool = edits.find_pool(asked.services.configuration.current().document, name)
    return filled(Pool, pool)


_MORE: Any = {"has_dry_run": True, "problems": (409, 503)}
_ONE = "/api/pools/{name}"

ROWS = (
    Endpoint("GET", "/api/pools", "pools:read", get_pools, has_etag=True),
    Endpoint(
        "POST", "/api/pools", "pools:write", add_pool,
        status=201, also=(200,), takes_key=True, **_MORE,
    ),
    Endpoint("GET", _ONE, "pools:read", get_pool, has_etag=True),
    Endpoint("PUT", _ONE, "pools:write", update_pool, has_etag=True, **_MORE),
    Endpoint("DELETE", _ONE, "pools:write", delete_pool, status=204, **_MORE),
)  # fmt: skip
