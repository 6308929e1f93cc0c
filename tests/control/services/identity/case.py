"""All that has to do with who people are, on a store in memory, with clocks that a test turns."""

from base64 import b64encode
from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.control.store.memory import MemoryStore
from tests.control.store.places import at_once
from veloflux.control.services.identity.people import People, people
from veloflux.control.services.identity.users import User
from veloflux.control.services.principal import ROLES, Principal, Role
from veloflux.core.model.node import Admin

_Result = TypeVar("_Result")
PASSWORD = "correct horse battery"
OPERATORS = "the operator's own"
SECRET = bytes(32)
NOON = 1_700_000_000.0


def basic(name: str, password: str) -> list[bytes]:
    """An Authorization header, as a list of all there are."""
    return [b"Basic " + b64encode(f"{name}:{password}".encode())]


def bearer(token: str) -> list[bytes]:
    return [b"Bearer " + token.encode()]


def somebody(role: Role = "operator", user_id: str = "u-somebody", **more: Any) -> Principal:
    """Somebody with all that a role may."""
    return Principal(user_id, "somebody", role, ROLES[role], **more)


class IdentityTestCase(SynchronousTestCase):
    """`people` are the services; the operator is `admin`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore()
        self.people = self.make()

    def make(self) -> People:
        """Services as after a start: they share nothing with others but the store."""
        made = people(self.store, at_once, self.now, self.clock.seconds)
        made.operator.configure(Admin(password=OPERATORS), "unused", SECRET)
        return made

    def now(self) -> float:
        return NOON + self.clock.seconds()

    def got(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """What a coroutine returned, having waited for nothing."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def refused(self, work: Coroutine[Any, Any, Any], kind: type[Exception]) -> Any:
        """The error of this kind that a coroutine raised."""
        return self.failureResultOf(Deferred.fromCoroutine(work), kind).value

    def add(self, email: str = "ada@example.org", role: Role = "admin") -> User:
        """A user with PASSWORD."""
        return self.got(
            self.people.users.create(somebody(), email, PASSWORD, role, "Ada", "Lovelace")
        )

    def admitted(self, authorization: list[bytes], address: str = "192.0.2.1") -> Principal:
        return self.got(self.people.identity.authenticate(authorization, address))

    def rejected(
        self, authorization: list[bytes], kind: type[Exception], address: str = "192.0.2.1"
    ) -> Any:
        return self.refused(self.people.identity.authenticate(authorization, address), kind)
