"""Verbs that show how a daemon is: `status`, `pools`, `backends`, `routes`."""

from collections.abc import Mapping
from typing import Any

import click

from veloflux.command.asking import Column, asks, output, print_pairs, print_table, show
from veloflux.command.daemon import Daemon, segment

_WORKERS: tuple[Column, ...] = (
    ("worker", "index"),
    ("pid", "pid"),
    ("state", "state"),
    ("revision", "config_revision"),
    ("connections", "connections"),
    ("restarts", "restarts"),
    ("uptime", "uptime"),
)
_POOLS: tuple[Column, ...] = (
    ("pool", "name"),
    ("algorithm", "algorithm"),
    ("backends", lambda pool: len(pool["backends"])),
    ("health check", lambda pool: (pool.get("health_check") or {}).get("type")),
    ("sticky", lambda pool: bool(pool.get("sticky_sessions"))),
)
BACKENDS: tuple[Column, ...] = (
    ("id", "id"),
    ("pool", "pool"),
    ("address", "address"),
    ("status", "status"),
    ("weight", "weight"),
    ("in flight", "connections"),
    ("requests", "requests"),
    ("failures", "failure_count"),
    ("latency ms", "latency_ms"),
)
_ROUTES: tuple[Column, ...] = (
    ("id", "id"),
    ("host", "host"),
    ("prefix", "path_prefix"),
    ("methods", "methods"),
    ("to", lambda route: _target(route)),
)


@click.command(
    help="""Show how the daemon is: its configuration, its workers, and what is wrong with it.

\b
examples:
  veloflux status
  veloflux status --server https://proxy:9090 --token-file token -o json

exit status: 0 healthy or degraded, 1 unhealthy"""
)
@output
@asks
def status(daemon: Daemon, form: str) -> int:
    """Show how the daemon is."""
    found = daemon.get("/api/status")

    def table() -> None:
        rest = {name: value for name, value in found.items() if name != "workers"}
        print_pairs((name.replace("_", " "), value) for name, value in rest.items())
        if found.get("workers"):
            click.echo()
            print_table(found["workers"], _WORKERS, "no workers")

    show(found, form, table)
    return 1 if found["status"] == "unhealthy" else 0


@click.command(
    help="""Show all pools, or everything about one.

\b
examples:
  veloflux pools
  veloflux pools app -o yaml"""
)
@click.argument("name", required=False)
@output
@asks
def pools(daemon: Daemon, name: str | None, form: str) -> None:
    """Show pools."""
    _list_or_one(daemon, "/api/pools", name, form, _POOLS, "no pools")


@click.command(
    help="""Show all backends with their state and load, or those of one pool.

\b
examples:
  veloflux backends
  veloflux backends --pool app -o json"""
)
@click.option("--pool", metavar="NAME", help="Only those of this pool.")
@output
@asks
def backends(daemon: Daemon, pool: str | None, form: str) -> None:
    """Show backends."""
    found = daemon.get("/api/backends", pool=pool)
    show(found, form, lambda: print_table(found, BACKENDS, "no backends"))


@click.command(
    help="""Show all routes, or everything about one.

\b
examples:
  veloflux routes
  veloflux routes shop -o yaml"""
)
@click.argument("identifier", metavar="[ID]", required=False)
@output
@asks
def routes(daemon: Daemon, identifier: str | None, form: str) -> None:
    """Show routes."""
    _list_or_one(daemon, "/api/routes", identifier, form, _ROUTES, "no routes")


def _list_or_one(
    daemon: Daemon,
    path: str,
    name: str | None,
    form: str,
    columns: tuple[Column, ...],
    empty: str,
) -> None:
    if name is None:
        found = daemon.get(path)
        show(found, form, lambda: print_table(found, columns, empty))
    else:
        one = daemon.get(f"{path}/{segment(name)}")
        show(one, form, lambda: print_pairs(one.items()))


def _target(route: Mapping[str, Any]) -> str:
    if route.get("redirect"):
        return f"redirect to {route['redirect']['to']}"
    if route.get("pools"):
        return ", ".join(f"{share['pool']} ({share.get('weight', 1)})" for share in route["pools"])
    return str(route.get("pool"))
