from twisted.trial.unittest import TestCase

from tests.control.store.contract import StoreContract
from tests.control.store.memory import MemoryStore


class MemoryTests(StoreContract, TestCase):
    """The double that other tests use is a store."""

    def setUp(self) -> None:
        self.store = MemoryStore()
