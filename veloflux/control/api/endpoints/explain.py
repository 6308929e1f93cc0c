"""Where a request would go, and why."""

from ipaddress import ip_address
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from veloflux.control.api.endpoint import Asked, Endpoint
from veloflux.control.api.input import Input
from veloflux.control.services.explaining import Request

_FIELDS: dict[str, Any] = {
    "revision": {"type": "integer"},
    "listener": {"type": "string"},
    "client_ip": {"type": "string"},
    "state": {"const": "live"},
    "request": {"type": ["object", "null"]},
    "route": {"type": ["string", "null"], "description": "The one that takes it."},
    "routes": {"type": "array", "description": "Those near it, and `why_not`."},
    "routes_complete": {"type": "boolean"},
    "steps": {"type": "array", "description": "What each policy says, in order."},
    "pools": {"type": "array", "description": "The route's, by weight."},
    "pool": {"type": ["string", "null"]},
    "backend": {"type": ["string", "null"], "description": "The one that would be picked."},
    "pick_reason": {"type": "string"},
    "backends": {"type": "array", "description": "All candidates: load, score, and `why_not`."},
    "timeouts": {"type": ["object", "null"]},
    "retries": {"type": ["object", "null"]},
    "answer": {"type": ["object", "null"], "description": "What comes in a backend's place."},
    "lines": {"type": "array", "items": {"type": "string"}, "description": "It all, for people."},
}
Explained = Annotated[
    dict[str, Any],
    WithJsonSchema({"type": "object", "properties": _FIELDS, "required": list(_FIELDS)}),
]


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError("is no address; write 192.0.2.1 or 2001:db8::1") from None


Address = Annotated[
    str,
    AfterValidator(_address),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}]}
    ),
]


class Question(Input):
    """The request that is asked about."""

    method: str = Field("GET", pattern=r"^[A-Z]{1,32}$")
    host: str = Field(pattern=r"^[A-Za-z0-9.:\[\]_-]{1,255}$", description="As in its Host header.")
    path: str = Field("/", pattern=r"^/[!-~]{0,2000}$", description="With a query, if it has one.")
    client_ip: Address = Field("127.0.0.1", description="Who connects.")
    listener: str | None = Field(None, max_length=100, description="By name; none: the first.")


async def explain(asked: Asked, query: Question) -> Explained:
    """Say which route takes a request, what its policies say, and which backend gets it.

    Nothing is sent. The backends are as checks, traffic and workers say at this moment; the client
    counts as new.
    """
    services = asked.services
    status = services.status
    wanted = Request(query.method, query.host, query.path, query.client_ip, (), query.listener)
    states = {(pool, address): state for pool, address, state in status.backends()}
    answers = await services.observatory.fleet.ask()
    return await services.explainer.explain(wanted, status.in_force.snapshot, answers, states)


ROWS = (Endpoint("GET", "/api/explain", "routes:read", explain, problems=(404,)),)
