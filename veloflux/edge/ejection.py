"""A backend that real traffic has found bad: out of its pool for a while, and then back."""

from typing import TYPE_CHECKING

from veloflux.edge.deadlines import NEVER, Deadlines, Timed

if TYPE_CHECKING:
    from veloflux.edge.backend import Backend


class Ejection(Timed):
    """One backend's; `until` is when it ends, in the clock's seconds."""

    until = -NEVER

    def __init__(self, backend: "Backend", deadlines: Deadlines) -> None:
        self._backend = backend
        self._deadlines = deadlines

    @property
    def is_on(self) -> bool:
        return self.until != -NEVER

    def begin(self, until: float) -> None:
        """Be out until then, or until a later moment that was said before."""
        self.until = max(self.until, until)
        self._deadlines.arm(self, self.until)

    def end(self) -> None:
        self._deadlines.disarm(self)
        self.until = -NEVER

    def expire(self, now: float) -> None:
        self.until = -NEVER
        self._backend.pool.returned(self._backend)
