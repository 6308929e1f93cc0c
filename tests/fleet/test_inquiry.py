"""Asking all workers, and not waiting for ever."""

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.model.report import ProcessReport
from veloflux.fleet.inquiry import DEADLINE_S, Inquiry
from veloflux.fleet.messages import Ask, Down, Told
from veloflux.fleet.worker import State


class FakeWorker:
    def __init__(self, pid: int, state: State = State.SERVING) -> None:
        self.pid = pid
        self.state = state
        self.heard: list[Down] = []

    def send(self, message: Down) -> None:
        self.heard.append(message)


def told(number: int) -> Told:
    return Told(number, ProcessReport(1, 0, 1), ())


class InquiryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.workers = [FakeWorker(1), FakeWorker(2), FakeWorker(3, State.STARTING)]
        self.inquiry = Inquiry(self.clock, lambda: self.workers)

    def test_waits_for_all_who_serve(self) -> None:
        asked = self.inquiry.ask()
        self.assertEqual([each.heard for each in self.workers], [[Ask(1)], [Ask(1)], []])
        self.inquiry.told(self.workers[0], told(1))
        self.assertNoResult(asked)
        self.inquiry.told(self.workers[1], told(1))
        self.assertEqual(self.successResultOf(asked), {1: told(1), 2: told(1)})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_waits_for_nobody_who_is_silent_or_gone(self) -> None:
        asked = self.inquiry.ask()
        self.inquiry.told(self.workers[0], told(1))
        self.clock.advance(DEADLINE_S)
        self.assertEqual(self.successResultOf(asked), {1: told(1)})
        asked = self.inquiry.ask()
        self.inquiry.told(self.workers[1], told(1))  # too late for the question before
        self.inquiry.gone(self.workers[1])
        self.assertNoResult(asked)
        self.inquiry.told(self.workers[0], told(2))
        self.assertEqual(self.successResultOf(asked), {1: told(2)})

    def test_many_who_ask_are_one_question(self) -> None:
        first, second, third = (self.inquiry.ask() for _ in range(3))
        second.cancel()
        self.failureResultOf(second, CancelledError)
        for worker in self.workers[:2]:
            self.assertEqual(worker.heard, [Ask(1)])
            self.inquiry.told(worker, told(1))
        self.assertEqual(self.successResultOf(first), self.successResultOf(third))

    def test_without_workers_there_is_no_answer(self) -> None:
        self.workers.clear()
        self.assertEqual(self.successResultOf(self.inquiry.ask()), {})
        self.assertEqual(self.clock.getDelayedCalls(), [])
