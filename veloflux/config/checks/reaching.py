"""Backends at addresses where none may be."""

from collections.abc import Iterator

from veloflux.config.draft import Draft
from veloflux.config.problem import Finding
from veloflux.core.model.traffic import BackendNetworks
from veloflux.core.policy.reach import Reach


def reaching(draft: Draft) -> Iterator[Finding]:
    """Check addresses that are written as such; names are judged when they are looked up."""
    if draft.admin is None:
        return
    networks = draft.admin.backend_networks
    reach = Reach(
        BackendNetworks(tuple(networks.allow), tuple(networks.deny)), (draft.admin.address,)
    )
    for i, pool in draft.pools.items():
        for k, backend in enumerate(pool.backends):
            if not reach.admits(backend.address):
                yield Finding(
                    ("pools", i, "backends", k, "address"),
                    f"{backend.address} is where no backend may be; give another, or see "
                    "admin.backend_networks",
                    "conflict",
                )
