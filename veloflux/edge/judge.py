"""Real traffic's verdict on the backends of a pool: whoever fails too much is out for a while."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from veloflux.core.model import metrics
from veloflux.core.model.resilience import OutlierDetection
from veloflux.core.policy.outlier import FAILURES, Detector, Outlier, is_failure
from veloflux.core.policy.peers import Counts, Row
from veloflux.edge.deadlines import NEVER, Deadlines
from veloflux.edge.tally import Counted, increase

if TYPE_CHECKING:
    from veloflux.edge.backend import Backend


class Home(Protocol):
    """The plane of a worker, as far as it matters here."""

    deadlines: Deadlines
    luck: Callable[[], float]
    on_ejected: Callable[[str, str, float, str], None]


class Judge:
    """One pool's; `changed` is called when somebody was ejected."""

    def __init__(self, pool: str, home: Home, changed: Callable[[], None]) -> None:
        self._pool = pool
        self._home = home
        self._changed = changed
        self._backends: tuple[Backend, ...] = ()
        self._detector: Detector | None = None
        # The first time there is nothing to compare yet.
        self._compared_at = NEVER
        self._ejected: list[tuple[str, str]] = []

    def configure(self, model: OutlierDetection | None, backends: Iterable["Backend"]) -> None:
        """Judge `backends` by `model` from now on, or let them all be."""
        self._backends = tuple(backends)
        self._detector = None if model is None else Detector(model, self._home.luck)
        for backend in self._backends:
            backend.row = Row()
            if model is None:
                backend.outlier = None
                backend.ejection.end()
            elif backend.outlier is None:
                backend.outlier = Outlier(model)
            else:
                backend.outlier.configure(model)

    def observe(self, backend: "Backend", status: int, reason: str) -> None:
        """Take what a backend answered, or 0 and why it did not."""
        outlier = backend.outlier
        if outlier is None or (not status and reason not in FAILURES):
            return
        backend.is_failing = not status or is_failure(status)
        if not backend.is_failing:
            outlier.observe_success()
            backend.row.end()
            return
        assert self._detector is not None
        limit = self._detector.model.consecutive_failures
        verdict = backend.row.judge(self._peers(backend), limit)
        if not outlier.observe_failure():
            return
        if verdict == "own":
            self._eject(backend, "consecutive_failures")
        elif verdict == "common":
            self._bring_back()

    def believe(self, backend: "Backend", seconds: float) -> None:
        """Take another worker's word that a backend is bad."""
        if self._detector is not None and backend.outlier is not None:
            now = self._home.deadlines.now()
            backend.outlier.begin(now, seconds, self._detector.model)
            backend.ejection.begin(now + seconds)
            self._changed()

    def look(self, now: float) -> None:
        """To be called about once a second: compare the backends when it is time."""
        self._compared_at = min(self._compared_at, now)
        if self._detector is None or now - self._compared_at < self._detector.model.interval_s:
            return
        self._compared_at = now
        outliers = {}
        for backend in self._backends:
            if backend.outlier is not None:
                # Failures are counted one by one; of the rest there are too many.
                backend.outlier.successes = backend.good - backend.good_before
                backend.good_before = backend.good
                outliers[backend] = backend.outlier
        for backend in self._detector.judge(outliers, now):
            self._eject(backend, "success_rate")

    def has_rested(self) -> bool:
        """Whether all there was is judged and told; then the next comparison comes an interval
        after something else."""
        if self._detector is None:
            return True
        if self._ejected or any(
            backend.good != backend.good_before
            or (backend.outlier is not None and backend.outlier.failures)
            for backend in self._backends
        ):
            return False
        self._compared_at = NEVER
        return True

    def take(self) -> Counted:
        """What was counted since the last time."""
        ejected, self._ejected = self._ejected, []
        for backend, reason in ejected:
            yield from increase(metrics.UPSTREAM_EJECTIONS, (self._pool, backend, reason), 1)

    def _peers(self, backend: "Backend") -> Counts:
        """What all others that are in use have done so far."""
        good = asked = used = 0
        for place, peer in enumerate(self._backends):
            if peer is backend or peer.is_ejected or peer.is_unhealthy or not peer.enabled:
                continue
            used |= 1 << place
            good += peer.good + sum(peer.answers[1:5])
            asked += peer.asked + sum(peer.answers)
        return Counts(good, asked - good, used)

    def _bring_back(self) -> None:
        """Eject nobody any more: those who stayed do no better."""
        ejected = [backend for backend in self._backends if backend.is_ejected]
        now = self._home.deadlines.now()
        for backend in ejected:
            backend.ejection.end()
            if backend.outlier is not None:
                backend.outlier.pardon(now)
            backend.begin_again(now)
        if ejected:
            self._changed()

    def _eject(self, backend: "Backend", reason: str) -> None:
        detector, outlier = self._detector, backend.outlier
        if detector is None or outlier is None or backend.is_ejected or backend.is_retired:
            return
        able = [each for each in self._backends if each.enabled and each.weight]
        if not detector.may_eject(sum(each.is_ejected for each in able), len(able)):
            return
        now = self._home.deadlines.now()
        seconds = detector.eject(outlier, now)
        backend.ejection.begin(now + seconds)
        self._ejected.append((backend.name, reason))
        self._changed()
        self._home.on_ejected(self._pool, backend.name, seconds, reason)
