"""What the demonstration reads from a configuration file."""

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from veloflux.demo.plan import PlanError, read, split

WHOLE = """
data_dir: ../var
admin: {address: "127.0.0.1:9190", username: root, password: "${DEMO_TEST_UNSET:-}"}
listeners:
  - address: 127.0.0.1:8180
  - {address: "[::1]:8181", protocol: tcp, pool: app}
pools:
  - name: app
    backends: [{address: 127.0.0.1:9101}, {address: 192.0.2.1:80}]
  - name: other
    backends: [{address: 127.0.0.1:9101}, {address: localhost:9102}]
"""


class Reading(SynchronousTestCase):
    """The file's addresses, as they are to be shown and started."""

    def plan(self, text: str):
        """The plan of a file that holds `text`."""
        folder = Path(self.mktemp())
        folder.mkdir()
        self.file = folder / "veloflux.yaml"
        self.file.write_text(text)
        return read(self.file)

    def test_takes_addresses_from_the_file(self) -> None:
        plan = self.plan(WHOLE)
        self.assertEqual(plan.http, ("127.0.0.1:8180",))
        self.assertEqual(plan.tcp, ("[::1]:8181",))
        self.assertEqual(plan.admin, "127.0.0.1:9190")
        self.assertEqual(plan.username, "root")

    def test_starts_each_loopback_backend_once_and_no_other(self) -> None:
        self.assertEqual(self.plan(WHOLE).backends, ("127.0.0.1:9101", "localhost:9102"))

    def test_finds_the_password_file_beside_the_file(self) -> None:
        plan = self.plan(WHOLE)
        self.assertEqual(plan.password, "")
        self.assertEqual(plan.password_file, self.file.parent / "../var/admin-password")

    def test_takes_the_password_from_the_environment(self) -> None:
        self.patch_variable("DEMO_TEST_SECRET", "hunter2")
        plan = self.plan(WHOLE.replace("${DEMO_TEST_UNSET:-}", "${DEMO_TEST_SECRET}"))
        self.assertEqual(plan.password, "hunter2")

    def test_names_the_file_it_cannot_use(self) -> None:
        for text in ("", "listeners: 3", "pools: []", "a: [", "listeners: [x]\npools: []"):
            with self.subTest(text):
                error = self.assertRaises(PlanError, self.plan, text)
                self.assertIn(str(self.file), str(error))

    def test_names_a_file_that_is_not_there(self) -> None:
        error = self.assertRaises(PlanError, read, Path("no/such.yaml"))
        self.assertIn("no/such.yaml", str(error))

    def patch_variable(self, name: str, value: str) -> None:
        """Set an environment variable for this test."""
        self.patch(os, "environ", {**os.environ, name: value})


class Splitting(SynchronousTestCase):
    """An address as a socket takes it."""

    def test_takes_names_and_both_kinds_of_number(self) -> None:
        self.assertEqual(split("localhost:80"), ("localhost", 80))
        self.assertEqual(split("[::1]:8080"), ("::1", 8080))
