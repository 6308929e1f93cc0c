"""Log events on their way to a destination that may be slow, or stand still.

A pipe that nobody reads holds up whoever writes to it. The daemon's loop checks backends, answers
on the admin listener and hears the signal to stop, so a thread writes for it. What does not fit the
bound is dropped and counted.
"""

import signal
import threading
from queue import Full, Queue

from twisted.logger import ILogObserver, LogEvent, LogLevel, eventAsText
from zope.interface import implementer

MOST = 10_000
# What an observer may want to know of an event beside its text.
_KEPT = ("log_level", "log_namespace", "log_system", "log_time", "time", "isError")


@implementer(ILogObserver)
class Backlog:
    """Hands events to `observer` in a thread, in their order, at most `most` waiting."""

    def __init__(self, observer: ILogObserver, most: int = MOST) -> None:
        self._observer = observer
        self._events: Queue[LogEvent] = Queue(most)
        self._dropped = 0
        # Nobody waits for it at the end: see `flush`.
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def __call__(self, event: LogEvent) -> None:
        """Take one event, its text as it is now: what it speaks of may change meanwhile."""
        if self._dropped and self._put(_lost(self._dropped, event)):
            self._dropped = 0
        text = eventAsText(event, includeTimestamp=False, includeSystem=False)
        kept = {name: event[name] for name in _KEPT if name in event}
        if not self._put({**kept, "log_format": "{log_text}", "log_text": text}):
            self._dropped += 1

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is written, but not for ever; whether it is."""
        done = self._events.all_tasks_done
        with done:
            return done.wait_for(lambda: not self._events.unfinished_tasks, timeout_s)

    def _put(self, event: LogEvent) -> bool:
        try:
            self._events.put_nowait(event)
        except Full:
            return False
        return True

    def _run(self) -> None:
        # Signals are for the main thread, which no longer wants them at the very end.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            event = self._events.get()
            if not (self._write(event) or self._write(event)):
                self._dropped += 1
            self._events.task_done()

    def _write(self, event: LogEvent) -> bool:
        """Whether it could be written; a file that is just being rotated cannot."""
        try:
            self._observer(event)
        except Exception:  # there is no log to tell it to
            return False
        return True


def _lost(count: int, event: LogEvent) -> LogEvent:
    return {
        "log_level": LogLevel.warn,
        "log_namespace": __name__,
        "log_time": event.get("log_time"),
        "log_format": "{count} events were not logged: the log is too slow, or failed",
        "count": count,
    }
