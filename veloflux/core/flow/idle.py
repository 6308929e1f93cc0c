"""A pool as it is when nothing has happened yet: every backend healthy, with nothing to do."""

from veloflux.core.flow.trait import trait
from veloflux.core.model.traffic import Backend, Pool
from veloflux.core.policy.balance.algorithms import KEYED
from veloflux.core.policy.balance.candidate import Luck
from veloflux.core.policy.balance.latency import PeakEwma
from veloflux.core.policy.choose import Chooser, Explanation
from veloflux.core.wire.http1 import RequestHead


class Rested:
    """One backend, as its configuration has it."""

    load = 0
    is_full = False
    is_unhealthy = False
    is_ejected = False

    def __init__(self, model: Backend) -> None:
        self.name = str(model.address)
        self.weight = model.weight
        self.backup = model.backup
        self.enabled = model.enabled
        self.latency = PeakEwma()


class Idle:
    """What `explanation.Place` asks for. Raises ValueError for what it cannot choose by."""

    def __init__(self, model: Pool, luck: Luck) -> None:
        self.model = model
        members = [Rested(backend) for backend in model.backends]
        self._chooser = Chooser(members, model.algorithm, luck, panic_percent=model.panic_percent)
        self._trait = trait(model.hash_on) if model.algorithm in KEYED else None

    def explain(self, head: RequestHead, client: str, now: float) -> Explanation:
        """Who would be chosen for a request of `client`, and how everybody stands."""
        key = b"" if self._trait is None else self._trait(head, client)
        return self._chooser.explain((), key, now)
