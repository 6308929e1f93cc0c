"""What a user gets who installs what was built."""

import configparser
import subprocess
import sys
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[2]
BUILD_S = 300


class Wheel(SynchronousTestCase):
    """The wheel, built from a copy of the tree, so that nothing stale is picked up."""

    def setUp(self) -> None:
        if hasattr(type(self), "names"):
            return
        folder = Path(self.mktemp()).resolve()
        copy = folder / "tree"
        copy.mkdir(parents=True)
        tracked = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in filter(None, tracked.split("\0")):
            if (ROOT / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                (copy / name).write_bytes((ROOT / name).read_bytes())
        command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(copy)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        (wheel,) = folder.glob("veloflux-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            type(self).names = archive.namelist()
            type(self).entry_points = next(
                archive.read(name).decode()
                for name in archive.namelist()
                if name.endswith("entry_points.txt")
            )

    def test_brings_every_module(self) -> None:
        modules = {
            str(file.relative_to(ROOT))
            for file in (ROOT / "veloflux").rglob("*.py")
            if "__pycache__" not in file.parts
        }
        self.assertEqual(modules - set(self.names), set())

    def test_brings_the_plug_in_and_no_package_around_it(self) -> None:
        plugins = [name for name in self.names if name.startswith("twisted/")]
        self.assertEqual(plugins, ["twisted/plugins/veloflux_plugin.py"])

    def test_brings_the_dashboard(self) -> None:
        built = ROOT / "veloflux" / "control" / "dashboard" / "built"
        files = {str(file.relative_to(ROOT)) for file in built.rglob("*") if file.is_file()}
        self.assertTrue(files)
        self.assertEqual(files - set(self.names), set())

    def test_brings_what_is_compiled_and_not_what_it_is_made_of(self) -> None:
        parts = {name for name in self.names if name.startswith("veloflux/edge/compiled")}
        self.assertEqual({Path(name).suffix for name in parts}, {".so", ".pyi"})

    def test_says_that_it_is_typed(self) -> None:
        self.assertIn("veloflux/py.typed", self.names)

    def test_brings_nothing_that_users_do_not_run(self) -> None:
        tops = {name.partition("/")[0] for name in self.names}
        self.assertEqual({top for top in tops if ".dist-info" not in top}, {"veloflux", "twisted"})

    def test_brings_the_command(self) -> None:
        self.assertIn("veloflux = veloflux.cli:main", self.entry_points)


class Constraints(SynchronousTestCase):
    """constraints.txt pins what is installed here, so that it has been tested as it stands."""

    def test_pins_all_that_setup_asks_for(self) -> None:
        pinned = {normal(line.partition("==")[0]) for line in self.lines()}
        setup = configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg")
        wanted = setup["options"]["install_requires"]
        for extra in setup["options.extras_require"].values():
            wanted += "\n" + extra
        names = {
            normal(line.partition("[")[0].partition(">")[0])
            for line in wanted.splitlines()
            if line.strip() and not line.startswith("#")
        }
        self.assertEqual(names - pinned, set())

    def test_pins_versions_and_nothing_else(self) -> None:
        for line in self.lines():
            self.assertRegex(line, r"^[A-Za-z0-9._-]+==[A-Za-z0-9.]+$")

    def lines(self) -> list[str]:
        """The file's lines."""
        return (ROOT / "constraints.txt").read_text().splitlines()


def normal(name: str) -> str:
    """A distribution's name as the index compares it (PEP 503, simplified to what occurs here)."""
    return name.strip().lower().replace("_", "-").replace(".", "-")
