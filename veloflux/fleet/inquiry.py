"""Asks all workers how they are, and waits for their answers, but not for ever.

Whoever asks while an answer is awaited gets the same one, so a storm of questions is one question
to the workers.
"""

from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from veloflux.fleet.messages import Ask, Told
from veloflux.fleet.worker import State, Worker

DEADLINE_S = 2.0

Answers = dict[int, Told]
"""What the workers said, by process id; who was silent or is gone is not there."""


class Inquiry:
    """Asks the workers that `workers` gives."""

    def __init__(self, clock: IReactorTime, workers: Callable[[], Iterable[Worker]]) -> None:
        self._clock = clock
        self._workers = workers
        self._number = 0
        self._silent: set[int] = set()
        self._answers: Answers = {}
        self._waiting: list[Deferred[Answers]] = []
        self._deadline: IDelayedCall | None = None

    def ask(self) -> Deferred[Answers]:
        """Fires with the answers when all are there, or when it is time."""
        waiting: Deferred[Answers] = Deferred(lambda it: self._waiting.remove(it))
        self._waiting.append(waiting)
        if self._deadline is None:
            self._number += 1
            self._deadline = self._clock.callLater(DEADLINE_S, self._end)
            # One that starts answers nobody for seconds.
            asked = [each for each in self._workers() if each.state is not State.STARTING]
            self._silent = {worker.pid for worker in asked}
            for worker in asked:
                worker.send(Ask(self._number))
            self._look()
        return waiting

    def told(self, worker: Worker, answer: Told) -> None:
        """Take an answer; one to another question comes too late."""
        if answer.number == self._number and worker.pid in self._silent:
            self._answers[worker.pid] = answer
            self.gone(worker)

    def gone(self, worker: Worker) -> None:
        """Wait no more for this worker."""
        self._silent.discard(worker.pid)
        self._look()

    def _look(self) -> None:
        if self._deadline is not None and not self._silent:
            self._deadline.cancel()
            self._end()

    def _end(self) -> None:
        self._deadline = None
        self._silent = set()
        answers, self._answers = self._answers, {}
        waiting, self._waiting = self._waiting, []
        for asked in waiting:
            asked.callback(answers)
