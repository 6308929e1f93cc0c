"""The admin API of a real daemon, tried by whatever its own OpenAPI document allows or forbids.

Schemathesis generates calls from the document, right ones and wrong ones, alone and in sequences,
and checks every answer against it. For longer by hand: `SECONDS=1200 make test
TESTS=tests.system.test_openapi`; then the document's examples are tried, too, around which it takes
minutes to make whole configurations. The calls begin alike each time, so that a failure comes from
what was changed; `SEED=2` makes others.
"""

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.daemon import Daemon

SECONDS = int(os.environ.get("SECONDS", "90"))
SEED = os.environ.get("SEED", "1")
PHASES = "coverage,fuzzing,stateful" + (",examples" if SECONDS >= 600 else "")
SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
SETTINGS = Path(__file__).with_name("schemathesis.toml")
CONFIGURATION = """
workers: 1
admin: {address: "localhost:0", username: admin, password: "${PASSWORD}"}
listeners: [{address: "127.0.0.1:0"}]
pools: [{name: app, backends: [{address: "127.0.0.1:9"}, {address: "127.0.0.2:9"}]}]
routes: [{id: app, pool: app}]
"""
PASSWORD = "a password of nobody"


class Properties(SynchronousTestCase):
    """Every answer is as the document says."""

    def test_hold_for_whatever_is_called(self) -> None:
        with Daemon(CONFIGURATION, environ={"PASSWORD": PASSWORD}) as daemon:
            command = [
                SCHEMATHESIS,
                f"--config-file={SETTINGS}",
                "run",
                f"http://{daemon.admin}/api/openapi.json",
                f"--auth=admin:{PASSWORD}",
                "--checks=all",
                f"--phases={PHASES}",
                "--continue-on-failure",
                f"--max-time={SECONDS}",
                f"--seed={SEED}",
                "--request-timeout=10",
                "--rate-limit=90/s",
                "--no-color",
            ]
            # In the daemon's directory, where what it keeps goes with the rest.
            tried = subprocess.run(
                command, cwd=daemon.directory, capture_output=True, text=True, timeout=SECONDS + 120
            )
            report = tried.stdout.partition("= FAILURES =")[2] or tried.stdout
            self.assertEqual(tried.returncode, 0, report + tried.stderr)
            self.assertRegex(tried.stdout, r"\b([1-9]\d+) generated, \1 passed")
