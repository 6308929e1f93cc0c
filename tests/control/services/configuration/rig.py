"""The configuration service over workers that obey, with its file and its store in memory."""

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.control.store.memory import MemoryStore
from tests.fleet.fakes import FakeProcess, FakeSpawner
from veloflux.config.reader import Reader
from veloflux.config.written import Written, parse
from veloflux.control.services.configuration.configuration import Author, Configuration
from veloflux.control.services.configuration.edits import Edited
from veloflux.control.services.configuration.opening import open_with
from veloflux.control.services.configuration.proposal import Proposer
from veloflux.control.store.store import Document
from veloflux.core.model.address import Address
from veloflux.fleet.messages import Commit, Down, Prepare, Prepared, Refused
from veloflux.fleet.rollout import Rollout
from veloflux.fleet.sockets import Sockets
from veloflux.fleet.supervisor import Supervisor

_Result = TypeVar("_Result")

ADA = Author("ada", "because")
FILE: dict[str, Any] = {
    "workers": 1,
    "admin": {"address": "127.0.0.9:0"},
    "listeners": [{"address": "127.0.0.1:0"}],
    "pools": [{"name": "app", "backends": [{"address": "127.0.0.1:9001"}]}],
    "routes": [{"id": "app", "pool": "app"}],
}


def at_once(work: Callable[[], _Result]) -> Deferred[_Result]:
    """Do the work where it is asked for."""
    done: Deferred[_Result] = execute(work)
    return done


class Obeying(FakeSpawner):
    """Starts workers that do as they are told at once, unless `why_not` says why they refuse."""

    why_not = ""
    is_held = False

    def spawn(self, worker: int, on_message: Any, on_exit: Any) -> FakeProcess:
        process = super().spawn(worker, on_message, on_exit)
        send = process.send

        def obey(message: Down, descriptor: int | None = None) -> None:
            send(message, descriptor)
            if isinstance(message, Prepare) and not self.is_held:
                version = message.snapshot.version
                refused = self.why_not and len(process.heard) > 3
                process.say(Refused(version, self.why_not) if refused else Prepared(version))
            elif isinstance(message, Commit):
                process.apply()

        process.send = obey  # type: ignore[method-assign]
        return process


class NoSockets(Sockets):
    """Sockets that are none: these workers do not listen."""

    def bind(self, addresses: Iterable[Address], workers: int) -> None:
        """Have nothing to bind."""

    def of(self, address: Address, worker: int) -> Any:
        return self

    def fileno(self) -> int:
        return 0

    def actual(self, address: Address) -> Address:
        return address


class Blocking:
    """The store as the start sees it."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def get(self, kind: str, key: str) -> Document | None:
        return self._store.documents.get((kind, key))

    def scan(self, kind: str, after: str = "", limit: int = 1000) -> list[Document]:
        found = [self._store.documents[each] for each in sorted(self._store.documents)]
        return [each for each in found if each.kind == kind and each.key > after][:limit]


def serve(
    written: Callable[[], Written],
    store: MemoryStore,
    clock: Clock,
    spawner: Obeying,
    directory: str,
    environ: dict[str, str],
) -> tuple[Rollout, Configuration]:
    """Make what serves by the store there is, or by the file."""
    reader = Reader(directory, environ)
    blocking = Blocking(store) if store.documents else None
    opening = open_with(written(), reader, environ, blocking, 1000.0)
    supervisor = Supervisor(clock, spawner, NoSockets(), at_once)
    rollout = Rollout(opening.loaded.node, supervisor, clock.seconds)
    configuration = Configuration(
        opening,
        store,
        Proposer(reader, opening.bootstrap),
        rollout,
        written,
        at_once,
        clock.seconds,
    )
    return rollout, configuration


class Case(SynchronousTestCase):
    """`file` is what the file says; `begin` starts a daemon on the store there is."""

    def setUp(self) -> None:
        self.file: Any = json.loads(json.dumps(FILE))
        self.environ = {"SECRET": "hush"}
        self.store = MemoryStore()
        self.directory = self.mktemp()

    def written(self) -> Written:
        content = self.file if isinstance(self.file, bytes) else json.dumps(self.file).encode()
        return parse(content, "/etc/veloflux.yaml")

    def begin(self) -> Configuration:
        """Start a daemon, as after the end of the one before."""
        self.clock = Clock()
        self.clock.advance(1000)
        self.spawner = Obeying()
        self.rollout, configuration = serve(
            self.written, self.store, self.clock, self.spawner, self.directory, self.environ
        )
        self.done(configuration.start())
        return configuration

    def start(self, work: Any) -> "Deferred[Any]":
        """Begin work."""
        return Deferred.fromCoroutine(work)

    def turn(self) -> None:
        """Let the workers do what they have been told."""
        self.clock.advance(0)

    def done(self, work: Any) -> Any:
        """Do work to its end."""
        doing = self.start(work)
        self.turn()
        return self.successResultOf(doing)

    def refused(self, kind: type[Exception], work: Any) -> Any:
        """Do work that fails so."""
        doing = self.start(work)
        self.turn()
        return self.failureResultOf(doing, kind).value

    @property
    def serving(self) -> Any:
        """The snapshot that the first worker serves by."""
        process = self.spawner.processes[0]
        version = process.last(Commit).version
        [found] = {
            id(each): each.snapshot
            for each in process.heard
            if isinstance(each, Prepare) and each.snapshot.version == version
        }.values()
        return found


def adding(address: str) -> Callable[[Any], Any]:
    """An edit that adds a backend to the first pool."""

    def edit(document: Any) -> Any:
        pool = document["pools"][0]
        pool = {**pool, "backends": [*pool["backends"], {"address": address}]}
        return Edited({**document, "pools": [pool, *document["pools"][1:]]})

    return edit
