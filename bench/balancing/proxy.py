"""A simulated proxy: the real pickers and policies, before simulated backends."""

from collections.abc import Sequence
from random import Random

from bench.balancing.policies import Ejector
from bench.balancing.server import Server
from veloflux.core.model.resilience import OutlierDetection
from veloflux.core.model.traffic import Algorithm
from veloflux.core.policy.balance.algorithms import PICKERS
from veloflux.core.policy.balance.candidate import Picker, usable
from veloflux.core.policy.balance.latency import PeakEwma
from veloflux.core.policy.ramp import STEPS, ramp

LONG_AGO = -1e9


class Seat:
    """A backend as one worker sees it: the load is everybody's, the latency its own.

    `since` is when it came, or came back.
    """

    enabled = True
    backup = False
    is_unhealthy = False

    def __init__(self, server: Server, since: float) -> None:
        self.server = server
        self.name = server.name
        self.since = since
        self.weight = 1
        self.is_ejected = False
        self.latency = PeakEwma()

    @property
    def load(self) -> int:
        return self.server.load


class Worker:
    """Chooses for its share of the requests, and learns from what becomes of them.

    `out` is shared by all workers: who is ejected, and until when.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        servers: Sequence[Server],
        slow_start_s: float,
        detection: OutlierDetection | None,
        seed: int,
        out: dict[Server, float] | None = None,
    ) -> None:
        if slow_start_s and algorithm == "round_robin":
            algorithm = "weighted_round_robin"  # as a pool does: turns without weights stay whole
        self._factory = PICKERS[algorithm]
        self._luck = Random(seed).random
        self._slow_start_s = slow_start_s
        self._ejector = None if detection is None else Ejector(detection, self._luck)
        self._out = {} if out is None else out
        self._known_out: set[Server] = set()
        self.seats: dict[Server, Seat] = {}
        self._to_join = sorted(servers, key=lambda server: -server.script.joins)
        # When the weights or the usable ones are to be looked at again.
        self._moments: list[float] = []
        self.picker: Picker[Seat]
        self._look(0.0)

    def pick(self, tried: tuple[Seat, ...], key: bytes, now: float) -> Seat | None:
        """The backend for a request, not one of those `tried`."""
        if self._ejector is not None:
            for server in self._ejector.judge(now):
                self._eject(server, now)
            # Another worker may have ejected one, or brought one back.
            if self._out.keys() != self._known_out:
                self._look(now)
        if self._moments and now >= self._moments[0]:
            self._look(now)
        return self.picker.pick(tried, key, now)

    def observe(self, seat: Seat, is_good: bool, took_s: float, now: float) -> None:
        """Take what became of a request."""
        if is_good:
            seat.latency.observe(took_s, now)
        else:
            seat.latency.observe_failure(took_s, now)
        if self._ejector is not None:
            verdict = self._ejector.observe(seat.server, is_good, self._out)
            if verdict == "own":
                self._eject(seat.server, now)
            elif verdict == "common" and self._out:
                self._out.clear()
                self._look(now)

    def _eject(self, server: Server, now: float) -> None:
        assert self._ejector is not None
        seconds = self._ejector.eject(server, self._out, now)
        if seconds:
            self._out[server] = now + seconds
            self.seats[server].is_ejected = True
            self._look(now)

    def _look(self, now: float) -> None:
        """See who is there, with which weight, and make a picker of those."""
        while self._to_join and self._to_join[-1].script.joins <= now:
            server = self._to_join.pop()
            self._join(server, server.script.joins or LONG_AGO)
        for server, until in list(self._out.items()):
            seat = self.seats[server]
            if until <= now:
                del self._out[server]
            elif not seat.is_ejected and self._ejector is not None:
                seat.is_ejected = True
                self._ejector.hear(server, until - now, now)
        for server, seat in self.seats.items():
            if seat.is_ejected and server not in self._out:
                seat.is_ejected = False
                seat.since = now
                seat.latency.forget()
            if self._slow_start_s:
                seat.weight = ramp(1, now - seat.since, self._slow_start_s)
        self._known_out = set(self._out)
        at = [server.script.joins for server in self._to_join]
        at += self._out.values()
        for seat in self.seats.values():
            at += (seat.since + step * self._slow_start_s / STEPS for step in range(1, STEPS + 1))
        self._moments = sorted(moment for moment in at if moment > now)
        self.picker = self._factory(usable(self.seats.values()).members, self._luck)

    def _join(self, server: Server, since: float) -> None:
        self.seats[server] = Seat(server, since)
        if self._ejector is not None:
            self._ejector.meet(server)
