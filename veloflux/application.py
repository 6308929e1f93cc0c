"""The composition root: builds every object of the daemon and gives each what it needs.

It is called before twistd leaves the terminal, the working directory and its privileges. So the
configuration's errors and an occupied port are told where the operator looks, and ports below
1024 can be bound for a daemon that will run as somebody else.
"""

import atexit
import os
import resource
import time
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from veloflux.config.load import Loaded, load
from veloflux.fleet.daemon import Daemon
from veloflux.fleet.notify import Notify
from veloflux.fleet.probes import Probes
from veloflux.fleet.process import Processes
from veloflux.fleet.reload import Reloader
from veloflux.fleet.sockets import Sockets
from veloflux.fleet.supervisor import Supervisor

# More would only make descriptor tables large.
_DESCRIPTORS = 1_048_576

_log = Logger()


class _Company:
    """What runs beside the workers."""

    def __init__(self, probes: Probes) -> None:
        self._probes = probes

    def start(self) -> None:
        """Nothing begins before the first configuration is in force."""

    async def stop(self) -> None:
        self._probes.stop()


def build(reactor: Any, path: str) -> Daemon:
    """Build the daemon that the file at `path` describes, with its sockets bound.

    Raises ConfigError and ListenError.
    """
    path = os.path.abspath(path)
    loaded = load(path, os.environ)
    for warning in loaded.warnings:
        _log.warn("{warning}", warning=warning)
    node = loaded.node
    _raise_descriptor_limit()

    sockets = Sockets()
    sockets.bind([listener.address for listener in node.snapshot.listeners], node.workers)
    supervisor = Supervisor(reactor, Processes(reactor, lambda: reloader.node.log_level), sockets)
    probes = Probes(reactor, supervisor.mark, lambda *_: None, Random().random)  # noqa: S311  # no secret

    def read(version: int) -> Deferred[Loaded]:
        # A large file takes seconds, in which the admin listener and the checks go on.
        return deferToThreadPool(
            reactor, reactor.getThreadPool(), load, path, os.environ.copy(), version
        )

    reloader = Reloader(node, supervisor, read, time.time)  # noqa: TID251  # the root knows it
    reloader.on_applied.append(lambda node: probes.configure(node.snapshot))
    return Daemon(reactor, supervisor, reloader, _Company(probes), Notify(os.environ), _fail)


def _raise_descriptor_limit() -> None:
    """Use as many descriptors as the system grants; workers inherit the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        _log.info(
            "raised the limit of open files from {soft} to {wanted}", soft=soft, wanted=wanted
        )


def _fail() -> None:
    """Make the process end with exit code 1, which twistd has no way to ask for.

    Registered last, it runs first; what other functions would do at exit is not missed.
    """
    atexit.register(os._exit, 1)
