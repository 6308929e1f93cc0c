"""What active checks found, told again to workers that start later or serve by a new snapshot."""

from collections.abc import Iterator

from veloflux.core.model.traffic import Snapshot
from veloflux.fleet.messages import Mark


class Marks:
    """The last result for each backend; one that was never marked is taken as healthy."""

    def __init__(self) -> None:
        self._healthy: dict[tuple[str, str], bool] = {}

    def add(self, mark: Mark) -> None:
        """Note a result, in place of the one before."""
        self._healthy[mark.pool, mark.backend] = mark.healthy

    def keep(self, snapshot: Snapshot) -> None:
        """Forget backends that are gone; of one no longer checked, nobody says it is ill.

        One whose check was changed keeps its mark until the first result of the new check.
        """
        # Most pools of thousands may have none.
        marked = {pool for pool, _ in self._healthy}
        self._healthy = {
            (pool.name, name): self._healthy[pool.name, name] or pool.health_check is None
            for pool in snapshot.pools
            if pool.name in marked
            for name in (str(backend.address) for backend in pool.backends)
            if (pool.name, name) in self._healthy
        }

    def __iter__(self) -> Iterator[Mark]:
        """Say them all again."""
        for (pool, backend), healthy in self._healthy.items():
            yield Mark(pool, backend, healthy)
