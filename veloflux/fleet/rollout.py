"""Brings one configuration after another into force, or changes nothing and says why.

The start, a reload, certificates that were replaced and changes through the API all go this way,
one at a time: who has the turn builds on what is in force, and nobody else changes it meanwhile.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from veloflux.config.diff import Change, diff
from veloflux.core.model.node import Node
from veloflux.fleet.bind import ListenError
from veloflux.fleet.supervisor import RolloutError, Supervisor

# The log gets so many lines of one difference, or of one file's errors.
_SHOWN = 50

Decide = Callable[[], Awaitable[object]]


class NotAppliedError(Exception):
    """The configuration in force stays; `problems` says why, one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Last:
    """How the last try went; `time` is Unix time, 0 before the first."""

    time: float = 0.0
    is_success: bool = True
    problems: tuple[str, ...] = ()


class Rollout:
    """Holds the configuration in force; `turn` is had by whoever replaces it.

    `wall` gives Unix time. `on_applied` is told the configuration in force after each success,
    `on_refused` that a try has failed.
    """

    _log = Logger()

    def __init__(self, node: Node, supervisor: Supervisor, wall: Callable[[], float]) -> None:
        self.node = node
        self.last = Last()
        self.applied_at = 0.0
        self.on_applied: list[Callable[[Node], None]] = []
        self.on_refused: list[Callable[[], None]] = []
        self.turn = DeferredLock()
        self._supervisor = supervisor
        self._wall = wall
        self._tried = node.snapshot.version

    @property
    def version(self) -> int:
        """The version in force; 0 before the first."""
        return self._supervisor.version

    async def start(self, decide: Decide | None = None) -> None:
        """Bring the first configuration into force, with `decide` as in `bring`; raises
        ListenError, RolloutError or what `decide` raises."""
        async with self.turn:
            await self._supervisor.apply(self.node.snapshot, self.node.workers, decide)
            self._settle(self.node)

    async def bring(
        self, node: Node, changes: Sequence[Change], decide: Decide | None = None
    ) -> None:
        """Bring `node` into force in all workers, by whoever has the turn.

        `changes` are its differences from what is in force: of much, they take long to find. When
        every worker has prepared it, `decide` makes it last; whatever it raises, everybody stays
        with what is in force. Raises NotAppliedError.
        """
        assert self.turn.locked, "whoever has the turn"
        try:
            check_live(changes)
            self._tried += 1
            node = replace(node, snapshot=replace(node.snapshot, version=self._tried))
            await self._supervisor.apply(node.snapshot, node.workers, decide)
        except NotAppliedError as error:
            self.refused(error.problems)
            raise
        except (ListenError, RolloutError) as error:
            self.refused((str(error),))
            raise NotAppliedError((str(error),)) from None
        self.report(self._log.info, [change.text for change in changes])
        self._log.info("configuration {version} is in force", version=node.snapshot.revision)
        self._settle(node)

    async def rest(self, deadline_s: float) -> None:
        """Take no traffic from now on, after what is under way; raises ListenError or RolloutError,
        as `Supervisor.rest`."""
        async with self.turn:
            self._supervisor.rest(deadline_s)

    async def wake(self) -> None:
        """Serve again; raises ListenError or RolloutError, as `Supervisor.wake`."""
        async with self.turn:
            await self._supervisor.wake()

    def confirm(self) -> None:
        """Note that what was asked for is in force already."""
        self._settle(self.node)

    async def renew(self, find: Callable[[Node], Awaitable[Node]]) -> bool:
        """Bring into force what `find` makes of the configuration in force, which is that with the
        present content of its files; says whether it failed. Does nothing while something else is
        under way."""
        if self.turn.locked or self._supervisor.is_draining:
            return False
        async with self.turn:
            node = await find(self.node)
            if node == self.node:
                return False
            try:
                await self.bring(node, diff(self.node, node))
            except NotAppliedError as error:
                self._log.error("{error}; what was there before is used on", error=error)
                return True
            self._log.info("files were replaced, and are used from now on")
            return False

    def refused(self, problems: tuple[str, ...]) -> None:
        """Note that a try has failed, and why."""
        self.last = Last(self._wall(), False, problems)
        for tell in self.on_refused:
            tell()

    def report(self, log: Callable[..., None], lines: Sequence[str]) -> None:
        """Write lines to the log, unless there are very many."""
        for line in lines[:_SHOWN]:
            log("{line}", line=line)
        if len(lines) > _SHOWN:
            log("and {more} more", more=len(lines) - _SHOWN)

    def _settle(self, node: Node) -> None:
        self.node = node
        self.applied_at = self._wall()
        self.last = Last(self.applied_at)
        for tell in self.on_applied:
            tell(node)


def check_live(changes: Sequence[Change]) -> None:
    """Raise NotAppliedError for what is read when the daemon starts, and never again."""
    fixed = tuple(
        f"{change.text}, which a reload cannot do; restart the daemon, or undo the change"
        for change in changes
        if change.needs_restart
    )
    if fixed:
        raise NotAppliedError(fixed)
