"""A data plane alone in a process, on a reactor of the test's choice, until its input ends.

`python -m tests.support.bare REACTOR FD PROTOCOL BACKEND LOG [SECOND]`: `REACTOR` is a key of
REACTORS, of which `pure` is the lean one with nothing compiled; `FD` is a listening socket and
`BACKEND` the address of the only one there is. With `SECOND`, the address of another backend,
answers are compressed and requests mirrored to that. It says `ready` when it serves.
"""

import os
import subprocess
import sys
import threading
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import TracebackType

from tests.support.daemon import PATIENCE_S, descriptors, memory
from veloflux.core.model.traffic import Limits

LIMITS = Limits(max_body_bytes=64 * 1024 * 1024)
ROOT = Path(__file__).parents[2]
REACTORS = {
    "lean": "veloflux.edge.reactor",
    "pure": "veloflux.edge.reactor",
    "epoll": "twisted.internet.epollreactor",
    "poll": "twisted.internet.pollreactor",
    "select": "twisted.internet.selectreactor",
}


class Bare:
    """The process, seen from the test; what it logged must be nothing."""

    def __init__(
        self, reactor: str, fd: int, protocol: str, backend: str, log: str, *second: str
    ) -> None:
        # Twisted holds a descriptor in reserve, to the end.
        warnings = ("-W", "error", "-W", "ignore::ResourceWarning")
        command = (sys.executable, *warnings, "-m", "tests.support.bare")
        self._process = subprocess.Popen(
            (*command, reactor, str(fd), protocol, backend, os.path.abspath(log), *second),
            cwd=ROOT,
            env={**os.environ, "VELOFLUX_PURE": "1" if reactor == "pure" else ""},
            pass_fds=(fd,),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise AssertionError(self.end())

    def __enter__(self) -> "Bare":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, where: TracebackType | None
    ) -> None:
        said = self.end()
        if kind is None:
            assert not said, said

    def end(self) -> str:
        """Close its input, wait, and return what it complained of."""
        try:
            _, complaints = self._process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            _, complaints = self._process.communicate()
            complaints += b"\nit did not end"
        if self._process.returncode:
            complaints += b"\nit ended with %d" % self._process.returncode
        return complaints.decode(errors="replace").strip()

    @property
    def memory(self) -> int:
        """Resident bytes."""
        return memory(self._process.pid)

    @property
    def descriptors(self) -> int:
        return descriptors(self._process.pid)


def main(reactor_name: str, fd: str, protocol: str, backend: str, log: str, *second: str) -> None:
    import_module(REACTORS[reactor_name]).install()

    from twisted.internet import reactor  # noqa: TID251  this is a process's main
    from twisted.logger import LogLevel, globalLogBeginner, textFileLogObserver

    from veloflux.core.model.address import Address
    from veloflux.core.model.policies import Compression, Mirror
    from veloflux.core.model.traffic import AccessLog, Listener, Pool, Route, Share, Snapshot
    from veloflux.core.model.traffic import Backend as BackendModel
    from veloflux.edge.service import Service

    def complain(event: dict[str, object], write: object = textFileLogObserver(sys.stderr)) -> None:
        if event["log_level"] in (LogLevel.warn, LogLevel.error, LogLevel.critical):
            write(event)  # type: ignore[operator]

    globalLogBeginner.beginLoggingTo([complain], redirectStandardIO=False)
    service = Service(reactor, 1)
    address = Address("127.0.0.1", 80)
    service.listen(str(address), os.dup(int(fd)))
    relayed = {"pool": "app"} if protocol == "tcp" else {}
    pools = [Pool("app", (BackendModel(Address.parse(backend)),))]
    pools += [Pool("second", (BackendModel(Address.parse(each)),)) for each in second]
    route = Route("all", pools=(Share("app"),))
    if second:
        route = replace(route, compression=Compression(), mirror=Mirror("second"))
    steps = service.prepare(
        Snapshot(
            version=1,
            listeners=(Listener("web", address, protocol, limits=LIMITS, **relayed),),  # type: ignore[arg-type]
            pools=tuple(pools),
            routes=(route,),
            access_log=AccessLog(log),
        )
    )
    for _ in steps:
        pass
    service.commit(1)

    def wait() -> None:
        sys.stdin.buffer.read()
        reactor.callFromThread(end)  # type: ignore[attr-defined]

    def end() -> None:
        service.close()
        reactor.callLater(0, reactor.stop)  # type: ignore[attr-defined]

    threading.Thread(target=wait, daemon=True).start()
    reactor.callWhenRunning(lambda: print("ready", flush=True))  # type: ignore[attr-defined]
    reactor.run(installSignalHandlers=False)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(*sys.argv[1:])
