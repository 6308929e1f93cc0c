"""Which cell of the shared board is which backend's? One number for all workers.

A backend keeps its cell for as long as it is configured. The cell of one that is gone is given to
another as late as can be: by then no worker has it any more.
"""

from collections import deque

from veloflux.core.model.traffic import Backend, Pool
from veloflux.core.policy.balance.algorithms import counts_together
from veloflux.edge.board import CELLS

Cells = dict[str, dict[str, int]]
"""By pool, then by the text of the backend's address."""


class Allotment:
    """Numbers for backends; those for whom there is none left count for themselves alone."""

    def __init__(self) -> None:
        self._held: Cells = {}
        self._free = deque(range(CELLS))

    def assign(self, pools: tuple[Pool, ...]) -> Cells:
        """The cells for the backends of those `pools` that need some; what others had is free from
        now on."""
        before, self._held = self._held, {}
        sharing = [pool for pool in pools if counts_together(pool)]
        for pool in sharing:
            had = before.get(pool.name, {})
            self._held[pool.name] = {
                name: had[name] for name in map(_name, pool.backends) if name in had
            }
        for pool_name, had in before.items():
            kept = self._held.get(pool_name, {})
            self._free.extend(cell for name, cell in had.items() if name not in kept)
        for pool in sharing:
            held = self._held[pool.name]
            for name in map(_name, pool.backends):
                if name not in held and self._free:
                    held[name] = self._free.popleft()
        return self._held


def _name(backend: Backend) -> str:
    return str(backend.address)
