"""Brings a changed configuration file into force, or changes nothing and says why.

One reload runs at a time, and at most one more waits: whoever asks while one runs gets the result
of the next, which reads the file after they asked. A storm of requests therefore costs no more
than reloading back to back.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from veloflux.config.diff import diff
from veloflux.config.load import Loaded
from veloflux.config.problem import ConfigError
from veloflux.core.model.node import Node
from veloflux.fleet.bind import ListenError
from veloflux.fleet.supervisor import RolloutError, Supervisor

# The log gets so many lines of one difference, or of one file's errors.
_SHOWN = 50


class ReloadError(Exception):
    """The configuration in force stays; `problems` says why, one line each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What is in force now, and how it differs from what was before; empty when it does not."""

    version: int
    changes: tuple[str, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Last:
    """How the last try went; `time` is Unix time, 0 before the first."""

    time: float = 0.0
    is_success: bool = True
    problems: tuple[str, ...] = ()


class Reloader:
    """Holds the configuration in force.

    `read` reads the file with a version for its snapshot, in a thread perhaps; its Deferred fails
    with ConfigError. `wall` gives Unix time. `on_applied` is told the configuration in force after
    each success, `on_refused` that a try has failed.
    """

    _log = Logger()

    def __init__(
        self,
        node: Node,
        supervisor: Supervisor,
        read: Callable[[int], Deferred[Loaded]],
        wall: Callable[[], float],
    ) -> None:
        self.node = node
        self.last = Last()
        self.applied_at = 0.0
        self.on_applied: list[Callable[[Node], None]] = []
        self.on_refused: list[Callable[[], None]] = []
        self._supervisor = supervisor
        self._read = read
        self._wall = wall
        self._tried = node.snapshot.version
        self._waiting: list[Deferred[Reloaded]] = []
        self._is_running = False

    async def start(self) -> None:
        """Bring the first configuration into force; raises ListenError or RolloutError."""
        self._is_running = True
        try:
            await self._supervisor.apply(self.node.snapshot, self.node.workers)
            self._settle(self.node)
        finally:
            self._is_running = False
        self._run()

    def reload(self) -> Deferred[Reloaded]:
        """Read the file and bring it into force; the Deferred fails with ReloadError."""
        asked: Deferred[Reloaded] = Deferred()
        self._waiting.append(asked)
        self._run()
        return asked

    async def renew(self, find: Callable[[Node], Awaitable[Node]]) -> None:
        """Bring into force what `find` makes of the configuration in force, which is that with the
        present content of its files. Does nothing while something else is under way."""
        if self._is_running or self._supervisor.is_draining:
            return
        self._is_running = True
        try:
            node = await find(self.node)
            if node != self.node:
                await self._bring(node)
        except (ListenError, RolloutError) as error:
            self._fail((str(error),))
            self._log.error("{error}; what was there before is used on", error=error)
        finally:
            self._is_running = False
            self._run()

    async def _bring(self, node: Node) -> None:
        self._tried += 1
        node = replace(node, snapshot=replace(node.snapshot, version=self._tried))
        texts = tuple(change.text for change in diff(self.node, node))
        await self._supervisor.apply(node.snapshot, node.workers)
        self._report(self._log.info, texts)
        self._log.info(
            "files were replaced; configuration {version} is in force",
            version=self._supervisor.version,
        )
        self._settle(node)

    def _run(self) -> None:
        if self._waiting and not self._is_running:
            self._is_running = True
            batch, self._waiting = self._waiting, []
            Deferred.fromCoroutine(self._reload()).addBoth(self._tell, batch)

    def _tell(self, result: object, batch: list[Deferred[Reloaded]]) -> None:
        self._is_running = False
        if isinstance(result, Failure) and not result.check(ReloadError):
            self._fail((f"internal error: {result.value!r}",))
        for asked in batch:
            asked.callback(result)  # type: ignore[arg-type]  # or a Failure, which is as well
        self._run()

    async def _reload(self) -> Reloaded:
        self._tried += 1
        try:
            result = await self._change(await self._read(self._tried))
        except ConfigError as error:
            problems = tuple(str(found) for found in error.problems if found.code != "advice")
        except (ListenError, RolloutError) as error:
            problems = (str(error),)
        except ReloadError as error:
            problems = error.problems
        else:
            return result
        self._fail(problems)
        self._report(self._log.error, problems)
        self._log.error(
            "the configuration was not reloaded; version {version} stays in force",
            version=self._supervisor.version,
        )
        raise ReloadError(problems)

    async def _change(self, loaded: Loaded) -> Reloaded:
        warnings = tuple(map(str, loaded.warnings))
        self._report(self._log.warn, warnings)
        changes = diff(self.node, loaded.node)
        fixed = tuple(
            f"{change.text}, which a reload cannot do; restart the daemon, or undo the change"
            for change in changes
            if change.needs_restart
        )
        if fixed:
            raise ReloadError(fixed)
        if _is_same(self.node, loaded.node):
            self._log.info("the configuration was read again; nothing has changed")
            self._settle(self.node)
            return Reloaded(self._supervisor.version, (), warnings)
        await self._supervisor.apply(loaded.node.snapshot, loaded.node.workers)
        texts = tuple(change.text for change in changes)
        self._report(self._log.info, texts)
        self._log.info("configuration {version} is in force", version=self._supervisor.version)
        self._settle(loaded.node)
        return Reloaded(self._supervisor.version, texts, warnings)

    def _settle(self, node: Node) -> None:
        self.node = node
        self.applied_at = self._wall()
        self.last = Last(self.applied_at)
        for tell in self.on_applied:
            tell(node)

    def _fail(self, problems: tuple[str, ...]) -> None:
        self.last = Last(self._wall(), False, problems)
        for tell in self.on_refused:
            tell()

    def _report(self, log: Callable[..., None], lines: tuple[str, ...]) -> None:
        for line in lines[:_SHOWN]:
            log("{line}", line=line)
        if len(lines) > _SHOWN:
            log("and {more} more", more=len(lines) - _SHOWN)


def _is_same(old: Node, new: Node) -> bool:
    snapshot = replace(new.snapshot, version=old.snapshot.version)
    return replace(new, snapshot=snapshot) == old
