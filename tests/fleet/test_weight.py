"""What a worker process imports: nothing of the control plane, however indirectly."""

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

HEAVY = frozenset(
    {"klein", "autobahn", "treq", "txredisapi", "scipy", "numpy", "sqlite3", "jwt"}
    | {"pydantic", "yaml", "argon2", "twisted.web", "veloflux.config", "veloflux.control"}
)


def imported(*modules: str) -> set[str]:
    """What a fresh interpreter has imported once it has imported these."""
    program = f"import sys, {', '.join(modules)}\nprint('\\n'.join(sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(ended.stdout.split())


class WeightTests(SynchronousTestCase):
    def test_a_worker_carries_no_control_plane(self) -> None:
        """The linter's contracts follow our own imports only, not those of libraries."""
        found = imported("veloflux.fleet.child", "veloflux.edge.reactor", "veloflux.edge.service")
        self.assertIn("veloflux.edge.bridge", found)
        self.assertEqual(found & HEAVY, set())

    def test_would_see_it(self) -> None:
        """A test for absence must fail on presence."""
        self.assertIn("twisted.web", imported("veloflux.control.api.site") & HEAVY)
