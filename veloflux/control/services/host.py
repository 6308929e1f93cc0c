"""The machine: processors, memory, the disk of the data directory, network. And the node's id.

What takes a moment to ask, or may hang as a disk that is somewhere else can, is asked in a thread
every few seconds. psutil reads it: it knows what each kernel calls things.
"""

import os
import platform
import resource
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
from twisted.copyright import version as twisted_version

from veloflux import __version__

_ID = "node-id"


@dataclass(frozen=True, slots=True)
class Cpu:
    """`usage_percent` is of all cores, since the sample before."""

    usage_percent: float
    cores: int
    load_average: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of the machine, and of the daemon with its workers."""

    total: int
    available: int
    used: int
    usage_percent: float
    process: int


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes of the file system that has the data directory."""

    total: int
    used: int
    free: int
    usage_percent: float


@dataclass(frozen=True, slots=True)
class Network:
    """Bytes over all interfaces but loopback, since the machine's start and a second."""

    bytes_sent: int
    bytes_received: int
    sent_per_second: float
    received_per_second: float
    errors: int
    drops: int


@dataclass(frozen=True, slots=True)
class Sample:
    """The machine at one moment."""

    cpu: Cpu
    memory: Memory
    disk: Disk
    network: Network


@dataclass(frozen=True, slots=True)
class Limits:
    """Of this process: descriptors it may have open and has, and what a container grants, None
    for no limit."""

    open_files: int
    processes: int | None
    memory_bytes: int | None
    cpu_cores: float | None


@dataclass(frozen=True, slots=True)
class Description:
    """What the daemon runs on."""

    node_id: str
    hostname: str
    version: str
    python: str
    twisted: str
    openssl: str
    system: str
    kernel: str
    architecture: str
    cores: int
    memory_bytes: int
    pid: int
    data_dir: str
    limits: Limits


class Host:
    """Samples the machine; `sample` is called in a thread, one call at a time."""

    def __init__(self, data_dir: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.latest: Sample | None = None
        self._data_dir = data_dir
        self._clock = clock
        self._before: tuple[float, int, int] | None = None
        psutil.cpu_percent(None)  # what follows is since this

    def sample(self, pids: tuple[int, ...]) -> Sample:
        """Ask anew, with the memory of these processes; raises OSError when the disk cannot be
        asked."""
        memory = psutil.virtual_memory()
        disk = psutil.disk_usage(self._data_dir)
        self.latest = Sample(
            cpu=Cpu(psutil.cpu_percent(None), cores(), psutil.getloadavg()),
            memory=Memory(
                memory.total, memory.available, memory.used, memory.percent, _resident(pids)
            ),
            disk=Disk(disk.total, disk.used, disk.free, disk.percent),
            network=self._network(),
        )
        return self.latest

    def _network(self) -> Network:
        counters = [
            found for name, found in psutil.net_io_counters(pernic=True).items() if name != "lo"
        ]
        now = self._clock()
        sent = sum(each.bytes_sent for each in counters)
        received = sum(each.bytes_recv for each in counters)
        then, sent_before, received_before = self._before or (now, sent, received)
        self._before = now, sent, received
        # An interface that is gone takes its counts with it.
        passed = max(now - then, 1e-3)
        return Network(
            sent,
            received,
            round(max(sent - sent_before, 0) / passed, 1),
            round(max(received - received_before, 0) / passed, 1),
            sum(each.errin + each.errout for each in counters),
            sum(each.dropin + each.dropout for each in counters),
        )


def describe(node_id: str, data_dir: str) -> Description:
    """What does not change while the daemon runs."""
    return Description(
        node_id=node_id,
        hostname=socket.gethostname(),
        version=__version__,
        python=platform.python_version(),
        twisted=twisted_version,
        openssl=ssl.OPENSSL_VERSION,
        system=platform.system(),
        kernel=platform.release(),
        architecture=platform.machine(),
        cores=cores(),
        memory_bytes=psutil.virtual_memory().total,
        pid=os.getpid(),
        data_dir=data_dir,
        limits=Limits(
            open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            processes=_finite(resource.getrlimit(resource.RLIMIT_NPROC)[0]),
            memory_bytes=_group_memory(),
            cpu_cores=_group_cores(),
        ),
    )


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def node_id(data_dir: str, make: Callable[[], str]) -> str:
    """The id kept in the data directory, made by `make` when there is none; raises OSError, and
    ValueError for a file that is not ours."""
    path = os.path.join(data_dir, _ID)
    os.makedirs(data_dir, 0o700, exist_ok=True)
    try:
        with open(path, encoding="ascii") as file:
            kept = file.read(100).strip()
    except FileNotFoundError:
        kept = make()
        new = f"{path}.new"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(f"{kept}\n")
            file.flush()
            os.fsync(descriptor)
        os.replace(new, path)
    if not kept or not kept.isalnum():
        raise ValueError(f"{path} holds no node's id; remove it to have a new one made")
    return kept


def _resident(pids: tuple[int, ...]) -> int:
    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_info().rss
        except psutil.Error:
            continue  # it has just ended
    return total


def _finite(limit: int) -> int | None:
    return None if limit == resource.RLIM_INFINITY else limit


def _group_memory() -> int | None:
    word = _group("memory.max")
    return int(word) if word.isdigit() else None


def _group_cores() -> float | None:
    quota, _, period = _group("cpu.max").partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _group(name: str) -> str:
    """What our control group (version 2) says, seen from inside a container; empty if nothing."""
    try:
        with open(f"/sys/fs/cgroup/{name}", encoding="ascii") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError):
        return ""
