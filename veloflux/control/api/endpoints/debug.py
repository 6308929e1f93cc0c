"""The workers' insides, asked when somebody asks for them; within two seconds."""

from dataclasses import dataclass

from veloflux.control.api.endpoint import Asked, Endpoint
from veloflux.control.api.input import Paging
from veloflux.control.services import debug
from veloflux.control.services.debug import BackendDetails, CompiledRoute, PoolState, Processes


@dataclass(frozen=True, slots=True)
class RouteTable:
    """A page of the routes in force; `revision` is the configuration's."""

    revision: int
    items: tuple[CompiledRoute, ...]
    total_count: int
    page: int
    page_size: int
    has_more: bool


async def pools(asked: Asked) -> list[PoolState]:
    """Show how every worker picks: algorithm, next pick, scores, queue, circuit."""
    found = asked.services.observatory
    answers = await found.fleet.ask()
    answer: list[PoolState] = await found.in_thread(lambda: debug.pools(found.status, answers))
    return answer


async def backends(asked: Asked) -> list[BackendDetails]:
    """Show every backend as each worker has it: connections, health, ejection, circuit."""
    found = asked.services.observatory
    answers = await found.fleet.ask()
    answer: list[BackendDetails] = await found.in_thread(
        lambda: debug.backends(found.status, answers)
    )
    return answer


async def routes(asked: Asked, query: Paging) -> RouteTable:
    """Show the routes in force in the order in which they are looked for."""
    found = asked.services.observatory
    snapshot = found.status.in_force.snapshot
    ordered = await found.in_thread(lambda: debug.routes(snapshot))
    first = (query.page - 1) * query.page_size
    shown = ordered[first : first + query.page_size]
    return RouteTable(
        found.status.summary().config_revision,
        tuple(debug.compiled(first + n, *each) for n, each in enumerate(shown)),
        len(ordered),
        query.page,
        query.page_size,
        first + len(shown) < len(ordered),
    )


async def performance(asked: Asked) -> Processes:
    """Show the daemon's and every worker's loop, memory, garbage collector and threads."""
    found = asked.services.observatory
    answers = await found.fleet.ask()
    pids = found.pids()
    accounts = await found.in_thread(lambda: debug.accounts(pids))
    return debug.processes(found.status, answers, accounts, found.lags.own(), found.lags.workers())


ROWS = (
    Endpoint("GET", "/api/debug/pools", "system:admin", pools),
    Endpoint("GET", "/api/debug/backends", "system:admin", backends),
    Endpoint("GET", "/api/debug/routes", "system:admin", routes),
    Endpoint("GET", "/api/debug/performance", "system:admin", performance),
)
