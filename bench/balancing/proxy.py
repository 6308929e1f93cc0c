"""A simulated worker of the proxy: the real pickers and policies, before simulated backends."""

from collections.abc import Sequence
from random import Random

from bench.balancing.policies import Ejector
from bench.balancing.server import Server
from veloflux.core.model.resilience import OutlierDetection
from veloflux.core.model.traffic import Algorithm
from veloflux.core.policy.balance.algorithms import PICKERS
from veloflux.core.policy.balance.candidate import Picker, usable
from veloflux.core.policy.balance.latency import PeakEwma
from veloflux.core.policy.ramp import moments, ramp


class Seat:
    """A backend as one worker sees it: the load is everybody's, the latency its own."""

    enabled = True
    backup = False
    is_unhealthy = False

    def __init__(self, server: Server, weight: int) -> None:
        self.server = server
        self.name = server.name
        self.weight = weight
        self.is_ejected = False
        self.latency = PeakEwma()

    @property
    def load(self) -> int:
        return self.server.load


class Worker:
    """Chooses for its share of the requests, and learns from what becomes of them."""

    def __init__(
        self,
        algorithm: Algorithm,
        servers: Sequence[Server],
        slow_start_s: float,
        detection: OutlierDetection | None,
        seed: int,
    ) -> None:
        self._factory = PICKERS[algorithm]
        self._luck = Random(seed).random
        self._slow_start_s = slow_start_s
        joined = [server for server in servers if not server.script.joins]
        self.seats = {server: Seat(server, self._weight(1e9)) for server in joined}
        self._ejector = None if detection is None else Ejector(detection, self._luck)
        # When something is to be done that no request brings about, soonest first.
        self._later = sorted(
            (server.script.joins + age, server)
            for server in servers
            if server.script.joins
            for age in (0.0, *moments(slow_start_s))
        )
        self.picker: Picker[Seat]
        self._choose()

    def pick(self, tried: tuple[Seat, ...], key: bytes, now: float) -> Seat | None:
        """The backend for a request, not one of those `tried`."""
        while self._later and self._later[0][0] <= now:
            at, server = self._later.pop(0)
            self.seats.setdefault(server, Seat(server, 0)).weight = self._weight(
                at - server.script.joins
            )
            self._choose()
        if self._ejector is not None and self._ejector.is_changed(self.seats.values(), now):
            self._choose()
        return self.picker.pick(tried, key, now)

    def observe(self, seat: Seat, is_good: bool, took_s: float, now: float) -> None:
        """Take what became of a request."""
        if is_good:
            seat.latency.observe(took_s, now)
        else:
            seat.latency.observe_failure(took_s, now)
        if self._ejector is not None and self._ejector.observe(
            seat, is_good, self.seats.values(), now
        ):
            self._choose()

    def _weight(self, age_s: float) -> int:
        return ramp(1, age_s, self._slow_start_s) if self._slow_start_s else 1

    def _choose(self) -> None:
        self.picker = self._factory(usable(self.seats.values()).members, self._luck)
