"""Any sequence of calls, with restarts between: SQLite and the model say the same."""

import shutil
import tempfile
from collections.abc import Coroutine
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.control.store.memory import MemoryStore
from tests.control.store.places import at_once
from veloflux.control.store.sqlite import SqliteStore
from veloflux.control.store.store import Append, ConflictError, Delete, Put

KINDS = st.sampled_from(["a", "b"])
KEYS = st.sampled_from(["", "k", "k\0", "l", "\U0001f600"])
EXPECTED = st.none() | st.integers(0, 12)
TIMES = st.integers(0, 6).map(float)
LOGS = st.sampled_from(["x", "y"])
WRITES = st.one_of(
    st.builds(Put, KINDS, KEYS, st.binary(max_size=3), EXPECTED),
    st.builds(Delete, KINDS, KEYS, EXPECTED),
    st.builds(Append, LOGS, TIMES, st.binary(max_size=3)),
)
NUMBERS = st.integers(-1, 8)


def outcome(work: Coroutine[Any, Any, Any]) -> object:
    """What it returned, or which conflict it met."""
    found: list[Any] = []
    Deferred.fromCoroutine(work).addBoth(found.append)
    (result,) = found
    error = getattr(result, "value", None)
    if isinstance(error, ConflictError):
        return error.kind, error.key, error.expected, error.actual
    if error is not None:
        result.raiseException()
    return list(result) if isinstance(result, (list, tuple)) else result


class Model(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="veloflux-")
        self.model = MemoryStore()
        self.store = SqliteStore(self.directory, at_once)

    def same(self, ask: Any) -> None:
        assert outcome(ask(self.store)) == outcome(ask(self.model))

    @rule(writes=st.lists(WRITES, max_size=4))
    def commit(self, writes: list[Any]) -> None:
        self.same(lambda store: store.commit(*writes))

    @rule(kind=KINDS, key=KEYS)
    def get(self, kind: str, key: str) -> None:
        self.same(lambda store: store.get(kind, key))

    @rule(kind=KINDS, after=KEYS, limit=NUMBERS)
    def scan(self, kind: str, after: str, limit: int) -> None:
        self.same(lambda store: store.scan(kind, after, limit))

    @rule(after=NUMBERS, limit=NUMBERS)
    def changes(self, after: int, limit: int) -> None:
        self.same(lambda store: store.changes(after, limit))

    @rule(
        log=LOGS,
        after=NUMBERS,
        before=st.none() | NUMBERS,
        since=st.none() | TIMES,
        until=st.none() | TIMES,
        is_newest_first=st.booleans(),
        limit=NUMBERS,
    )
    def records(self, log: str, **bounds: Any) -> None:
        self.same(lambda store: store.records(log, **bounds))

    @rule(log=LOGS, until=TIMES)
    def trim(self, log: str, until: float) -> None:
        self.same(lambda store: store.trim(log, until))

    @rule()
    def restart(self) -> None:
        outcome(self.store.close())
        self.store = SqliteStore(self.directory, at_once)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            outcome(self.store.close())
            shutil.rmtree(self.directory)


class ModelTests(SynchronousTestCase):
    def test_no_sequence_of_calls_tells_them_apart(self) -> None:
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            Model, settings=settings(max_examples=60, stateful_step_count=25)
        )
