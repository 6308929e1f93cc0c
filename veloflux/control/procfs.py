"""What Linux accounts to the daemon and its workers, read from /proc."""

import os
import resource
from collections.abc import Collection
from dataclasses import dataclass

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# More children than that do not end while a page is written.
_TRIES = 10
# proc(5), of what follows the command's name in /proc/PID/stat.
_UTIME, _STIME, _START, _RSS = 11, 12, 19, 21


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over processes; `started` is this process's start in Unix time."""

    cpu_s: float
    memory_bytes: int
    descriptors: int
    started: float


def usage(workers: Collection[int]) -> Usage:
    """Read the accounts of this process and of these others, its children.

    The time of children that have ended is in this process's own account, so that the sum never
    falls when one dies. When one ends while they are read, its time was in neither or in both, so
    they are read again.
    """
    for _ in range(_TRIES):
        ended = _ended_s()
        found = _usage(workers, ended)
        if _ended_s() == ended:
            break
    return found


def _ended_s() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


def _usage(workers: Collection[int], cpu: float) -> Usage:
    memory = descriptors = 0
    for pid in (os.getpid(), *workers):
        fields = _stat(pid)
        if fields:
            cpu += (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS
            memory += int(fields[_RSS]) * _PAGE_BYTES
            descriptors += _descriptors(pid)
    own = _stat(os.getpid())
    started = _boot_time() + int(own[_START]) / _TICKS if own else 0.0
    return Usage(cpu, memory, descriptors, started)


def _stat(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/stat") as file:
            # The command's name stands in brackets and may hold anything, brackets too.
            return file.read().rpartition(")")[2].split()
    except (OSError, UnicodeDecodeError):
        return []


def _descriptors(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def _boot_time() -> int:
    with open("/proc/stat") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("btime"))
