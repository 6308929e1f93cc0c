"""Does this worker still do anything?

It tells once a second what it counted; one that says nothing for long hangs, in a loop of its own
or in the system, and holds the clients in its accept queue. It is asked for its stack, which ends
it, and killed if even that does not.

What is counted is looks without a word, not seconds. A daemon that stood still itself, as on a
suspended machine, has heard nobody, and that is no worker's fault.
"""

from collections.abc import Callable, Iterable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from veloflux.fleet.worker import State, Worker

LOOK_S = 5.0
# So many looks in a row without a word; a starved processor makes seconds of silence.
PATIENCE = 6


class Watchdog:
    """Looks at the workers that `workers` gives."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, workers: Callable[[], Iterable[Worker]]) -> None:
        self._clock = clock
        self._workers = workers
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        """Look from now on."""
        if self._next is None:
            self._next = self._clock.callLater(LOOK_S, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look(self) -> None:
        self._next = None
        self.start()
        for worker in self._workers():
            if worker.state in (State.SERVING, State.DRAINING):
                worker.silent_looks += 1
                self._judge(worker)

    def _judge(self, worker: Worker) -> None:
        if worker.silent_looks == PATIENCE:
            self._log.error(
                "worker {worker.index} (pid {worker.pid}) hangs: it has said nothing for "
                "{seconds:.0f} s; it is ended, and its stack follows",
                worker=worker,
                seconds=PATIENCE * LOOK_S,
            )
            worker.abort()
        elif worker.silent_looks > PATIENCE:
            worker.kill()
