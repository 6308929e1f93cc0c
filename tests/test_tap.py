"""The plug-in: that twistd finds it, and what it says before anything runs."""

import contextlib
import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

from tests.support.daemon import PATIENCE_S, TWISTD
from veloflux.tap import Options


class PluginTests(SynchronousTestCase):
    def test_twistd_finds_it(self) -> None:
        [found] = [p for p in getPlugins(IServiceMaker) if p.tapname == "veloflux"]
        self.assertIs(found.options, Options)

    def test_importing_it_picks_no_reactor_and_loads_no_control_plane(self) -> None:
        """`twistd --reactor` must still have the choice, and `twistd --help` be quick."""
        program = (
            "import sys, veloflux.tap\n"
            "heavy = {'twisted.internet.reactor', 'klein', 'pydantic', 'veloflux.application'}\n"
            "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
        )
        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S
        )
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))


class OptionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = os.path.realpath(directory.name)
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        os.chdir(self.directory)

    def parse(self, *arguments: str) -> Options:
        options = Options()
        options.parseOptions(arguments)
        return options

    def test_the_file_of_the_working_directory_is_the_default(self) -> None:
        path = Path(self.directory, "veloflux.yaml")
        path.touch()
        self.assertEqual(self.parse()["config"], str(path))

    def test_a_relative_path_is_of_this_directory_wherever_twistd_goes(self) -> None:
        path = Path(self.directory, "a.yaml")
        path.touch()
        for arguments in (("--config", "a.yaml"), ("--config=a.yaml",), ("-c", "a.yaml")):
            self.assertEqual(self.parse(*arguments)["config"], str(path))

    def test_a_missing_file_is_named_with_the_way_out(self) -> None:
        told = io.StringIO()
        with contextlib.redirect_stderr(told), self.assertRaises(SystemExit) as caught:
            self.parse()
        self.assertEqual(caught.exception.code, 1)
        self.assertIn(f"there is no {self.directory}/veloflux.yaml", told.getvalue())
        self.assertIn("--config FILE", told.getvalue())


class RefusalTests(SynchronousTestCase):
    def test_every_error_of_the_file_is_a_line_and_nothing_else_is(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            Path(directory, "a.yaml").write_text("colour: red\nlisteners: none\n")
            for options in (["-n"], []):
                ended = subprocess.run(
                    [TWISTD, *options, "--pidfile=", "veloflux", "-c", "a.yaml"],
                    capture_output=True,
                    text=True,
                    timeout=PATIENCE_S,
                    cwd=directory,
                )
                self.assertEqual((ended.returncode, ended.stdout), (1, ""))
                lines = ended.stderr.splitlines()
                self.assertEqual(len(lines), 2)
                self.assertIn("a.yaml:1: colour: ", lines[0])
                self.assertIn("a.yaml:2: listeners: ", lines[1])
