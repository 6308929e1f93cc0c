"""The real policies of core, joined as the data plane joins them."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Protocol

from veloflux.core.model.resilience import OutlierDetection

if TYPE_CHECKING:
    from bench.balancing.proxy import Seat


class RetryRule(Protocol):
    """Whether a failed attempt is made again."""

    def count(self, now: float) -> None:
        """A request has come."""

    def wait_s(self, attempts: int, now: float) -> float | None:
        """How long to wait before another attempt after so many failed; None for no other."""


class Never:
    """No second attempt."""

    def count(self, now: float) -> None:
        pass

    def wait_s(self, attempts: int, now: float) -> float | None:
        return None


class Naive:
    """Two more attempts at once, whatever else is going on."""

    def count(self, now: float) -> None:
        pass

    def wait_s(self, attempts: int, now: float) -> float | None:
        return 0.0 if attempts <= 2 else None


class Ejector:
    """Ejects nobody, yet."""

    def __init__(self, model: OutlierDetection, luck: Callable[[], float]) -> None:
        pass

    def observe(self, seat: "Seat", is_good: bool, seats: Collection["Seat"], now: float) -> bool:
        return False

    def is_changed(self, seats: Collection["Seat"], now: float) -> bool:
        return False
