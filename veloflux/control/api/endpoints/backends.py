"""Backends: what is known of each, and every way to change one."""

from typing import Annotated, Any

from pydantic import Field

from veloflux.config.pools import Backend
from veloflux.control.api.changing import Preview, Why, author, change
from veloflux.control.api.endpoint import Asked, Endpoint, Reply
from veloflux.control.api.input import Input
from veloflux.control.api.parts import Part, Seconds
from veloflux.control.services.backends import BackendRow, Backends, written
from veloflux.control.services.configuration import edits
from veloflux.control.services.drains import Progress

_REGION = {
    "region": Annotated[str | None, Field(description="Kept as the label `region`.")],
}
_POOL = {
    "pool": Annotated[str | None, Field(description="May be left out where there is one pool.")],
}
_CHECK = {
    "health_check": Annotated[
        dict[str, Any] | None,
        Field(description="The whole pool's, which has none or the same so far."),
    ],
}
_DRAINING = {"draining": Annotated[bool, Field(description="Begin or end a drain.")]}

NewBackend = Annotated[dict[str, Any], Part(Backend, more={**_REGION, **_POOL, **_CHECK})]
PoolsBackend = Annotated[dict[str, Any], Part(Backend, more={**_REGION, **_CHECK})]
BackendChanges = Annotated[
    dict[str, Any], Part(Backend, partial=True, more={**_REGION, **_DRAINING})
]


class Which(Input):
    """Which backends."""

    pool: str | None = Field(None, description="Only this pool's.")


class Draining(Input):
    """How to drain."""

    deadline: Seconds | None = Field(
        None, description="After so long it gets no request at all; null: never."
    )


async def get_backends(asked: Asked, query: Which) -> list[BackendRow]:
    """List backends with what was measured of them."""
    if query.pool is not None:
        edits.find_pool(asked.services.configuration.current().document, query.pool)
    backends = await _measured(asked)
    found: list[BackendRow] = await asked.services.observatory.in_thread(
        lambda: backends.rows(query.pool)
    )
    return found


async def get_backend(asked: Asked, id: str) -> BackendRow:
    """Show a backend with what was measured of it."""
    return await _row(asked, id)


async def add_backend(asked: Asked, query: Why, body: NewBackend) -> Reply[BackendRow | Preview]:
    """Add a backend to a pool."""
    return await _add(asked, body.pop("pool", None), query, body)


async def add_to_pool(
    asked: Asked, name: str, query: Why, body: PoolsBackend
) -> Reply[BackendRow | Preview]:
    """Add a backend to this pool."""
    return await _add(asked, name, query, body)


async def update_backend(
    asked: Asked, id: str, query: Why, body: BackendChanges
) -> BackendRow | Preview:
    """Change a backend: what is left out stays. Its address is what it is, and cannot change."""
    drains = asked.services.drains
    document = asked.services.configuration.current().document
    i, k = edits.find_backend(document, id)
    before = edits.items(document, "pools")[i]["backends"][k]
    wanted = body.get("draining")
    changes = written(body, before)
    if changes or wanted is None or asked.is_dry_run:
        shown = await change(asked, edits.update_backend(id, changes), query.reason)
        if shown is not None:
            return shown
    is_draining = before.get("weight", 1) == 0
    if wanted and not is_draining:
        await drains.begin(id, None, author(asked, query.reason))
    elif wanted is False and is_draining and "weight" not in changes:
        await drains.cancel(id, author(asked, query.reason))
    return await _row(asked, id)


async def delete_backend(asked: Asked, id: str, query: Why) -> None:
    """Delete a backend; what is in flight finishes."""
    await change(asked, edits.delete_backend(id), query.reason)


async def delete_by_address(asked: Asked, pool: str, address: str, query: Why) -> None:
    """Delete a pool's backend by its address."""
    await change(asked, edits.delete_backend(edits.backend_id(pool, address)), query.reason)


async def drain(asked: Asked, id: str, query: Why, body: Draining | None) -> Progress:
    """Let a backend run empty.

    It gets no new requests, but of clients whose cookie leads to it; when the deadline has come,
    those go elsewhere too.
    """
    deadline = None if body is None else body.deadline
    await asked.services.drains.begin(id, deadline, author(asked, query.reason))
    return await _progress(asked, id)


async def get_drain(asked: Asked, id: str) -> Progress:
    """Show how far a drain is; 409 for a backend that does not drain."""
    return await _progress(asked, id)


async def cancel_drain(asked: Asked, id: str, query: Why) -> BackendRow:
    """End a drain: the backend gets requests again, with the weight it had."""
    await asked.services.drains.cancel(id, author(asked, query.reason))
    return await _row(asked, id)


async def _add(
    asked: Asked, pool: str | None, query: Why, body: dict[str, Any]
) -> Reply[BackendRow | Preview]:
    check = body.pop("health_check", None)
    backend = written(body)
    shown = await change(asked, edits.add_backend(pool, backend, check), query.reason)
    if shown is not None:
        return Reply(shown, 200)
    document = asked.services.configuration.current().document
    if pool is None:
        pool = edits.items(document, "pools")[0]["name"]
    id = edits.backend_id(pool, backend["address"])
    return Reply(await _row(asked, id), location=f"/api/backends/{id}")


async def _measured(asked: Asked) -> Backends:
    document = asked.services.configuration.current().document
    return await asked.services.observatory.backends(document)


async def _row(asked: Asked, id: str) -> BackendRow:
    backends = await _measured(asked)
    i, k = edits.find_backend(asked.services.configuration.current().document, id)
    return backends.row(i, k)


async def _progress(asked: Asked, id: str) -> Progress:
    row = await _row(asked, id)
    return asked.services.drains.progress(id, row.inflight, row.connections)


_MORE: Any = {"has_dry_run": True, "problems": (409, 503)}
_NEW: Any = {
    "status": 201, "also": (200,), "takes_key": True, "has_dry_run": True,
    "problems": (404, 409, 503),
}  # fmt: skip
_ONE = "/api/backends/{id}"

ROWS = (
    Endpoint("GET", "/api/backends", "pools:read", get_backends, problems=(404,)),
    Endpoint("POST", "/api/backends", "pools:write", add_backend, **_NEW),
    Endpoint("POST", "/api/pools/{name}/backends", "pools:write", add_to_pool, **_NEW),
    Endpoint("GET", _ONE, "pools:read", get_backend),
    Endpoint("PUT", _ONE, "pools:write", update_backend, **_MORE),
    Endpoint("DELETE", _ONE, "pools:write", delete_backend, status=204, **_MORE),
    Endpoint(
        "DELETE", "/api/backends/{pool}/{address}", "pools:write", delete_by_address,
        status=204, **_MORE,
    ),
    Endpoint("POST", f"{_ONE}/drain", "pools:write", drain, problems=(409, 503)),
    Endpoint("GET", f"{_ONE}/drain", "pools:read", get_drain, problems=(409,)),
    Endpoint("DELETE", f"{_ONE}/drain", "pools:write", cancel_drain, problems=(409, 503)),
)  # fmt: skip
