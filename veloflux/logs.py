"""Where log events go.

The daemon's own log is twistd's: standard output under `-n`, else a file or syslog, as its options
say; a thread writes it, so that a destination that stands still holds nothing up. A worker writes
its events as lines to standard error, which is a pipe to the daemon, each with its level in front
as under systemd (`<3>` is an error); the daemon logs them as its own. The pipe never makes a worker
wait: when it is full, lines are dropped and counted.
"""

import os
import re
from collections.abc import Callable

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    globalLogBeginner,
    globalLogPublisher,
)
from zope.interface import implementer

from veloflux.backlog import Backlog

# A pipe takes a write of up to 4096 bytes whole or not at all (PIPE_BUF).
MAX_LINE_BYTES = 4000

# The severities of RFC 5424, as sd-daemon(3) writes them.
_SEVERITY = {"debug": 7, "info": 6, "warn": 4, "error": 3, "critical": 2}
_LEVEL = {
    f"<{number}>".encode(): LogLevel.levelWithName(name) for name, number in _SEVERITY.items()
}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_threshold = LogLevelFilterPredicate()
_backlogs: list[Backlog] = []


def set_level(name: str) -> None:
    """Log from this level up: debug, info, warn, error or critical.

    Twisted's own news, such as that it listens, are for those who debug; its warnings for all.
    """
    level = LogLevel.levelWithName(name)
    # The empty namespace is the root of all.
    _threshold.setLogLevelForNamespace("", level)
    for namespace in ("log_legacy", "twisted"):
        own = level if name == "debug" else max(level, LogLevel.warn)
        _threshold.setLogLevelForNamespace(namespace, own)


def limit(name: str) -> None:
    """Make the observers that twistd has installed hear only from this level up, in a thread.

    twistd offers no way to say so: the observers are made before the application starts, and the
    publisher's list of them is not public.
    """
    set_level(name)
    for observer in tuple(globalLogPublisher._observers):
        if not isinstance(observer, FilteringLogObserver):
            backlog = Backlog(observer)
            _backlogs.append(backlog)
            globalLogPublisher.removeObserver(observer)
            globalLogPublisher.addObserver(FilteringLogObserver(backlog, [_threshold]))


def listen(observer: ILogObserver) -> Callable[[], None]:
    """Have an observer hear what is logged, as the level says; returns what ends that."""
    filtered = FilteringLogObserver(observer, [_threshold])
    globalLogPublisher.addObserver(filtered)
    return lambda: globalLogPublisher.removeObserver(filtered)


def flush(timeout_s: float) -> bool:
    """Wait until what was logged is written, but not for ever; whether it is."""
    return all(backlog.flush(timeout_s) for backlog in _backlogs)


def start(name: str) -> None:
    """Log a worker's events from this level up, to standard error."""
    set_level(name)
    os.set_blocking(2, False)
    observer = FilteringLogObserver(Lines(2), [_threshold])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


@implementer(ILogObserver)
class Lines:
    """Writes events as lines with their level to a descriptor that does not block."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._dropped = 0

    def __call__(self, event: LogEvent) -> None:
        """Write one event; a traceback is as many lines as it has."""
        severity = _SEVERITY.get(getattr(event.get("log_level"), "name", ""), _SEVERITY["info"])
        if self._dropped and self._write(f"<4>{self._dropped} lines of the log were dropped"):
            self._dropped = 0
        text = eventAsText(event, includeTimestamp=False, includeSystem=False)
        for line in text.splitlines():
            if not self._write(f"<{severity}>{_CONTROL.sub(_escape, line)}"):
                self._dropped += 1

    def _write(self, line: str) -> bool:
        body = line.encode("utf-8", "backslashreplace")[:MAX_LINE_BYTES]
        try:
            os.write(self._descriptor, body + b"\n")
        except OSError:  # full, or nobody reads it any more
            return False
        return True


def _escape(match: re.Match[str]) -> str:
    """Show a control character: it could forge a line or steer the reader's terminal."""
    return f"\\x{ord(match[0]):02x}"


class Relay:
    """Logs what a worker wrote to its standard error.

    A line without a level is none of ours, but an interpreter's last words: a warning, say.
    """

    _log = Logger()

    def __init__(self, worker: int) -> None:
        self._worker = worker
        self._rest = b""

    def write(self, data: bytes) -> None:
        """Take bytes as they come."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._emit(line)
        if len(self._rest) > MAX_LINE_BYTES:
            self.close()

    def close(self) -> None:
        """Log what is left without a line's end."""
        if self._rest:
            self._emit(self._rest)
            self._rest = b""

    def _emit(self, line: bytes) -> None:
        level = LogLevel.warn
        if line[:3] in _LEVEL:
            level, line = _LEVEL[line[:3]], line[3:]
        text = _CONTROL.sub(_escape, line.decode("utf-8", "replace"))
        self._log.emit(level, "worker {worker}: {text}", worker=self._worker, text=text)
