"""The page that comes with the package was built from the sources that stand beside it."""

import gzip
import json
from hashlib import sha256
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[3]
SOURCES = ROOT / "dashboard"
BUILT = ROOT / "veloflux" / "control" / "dashboard" / "built"
# What `dashboard/stamp.js` leaves out as well.
NOT_BUILT_FROM = {"node_modules", "README.md"}


def digests(folder: Path, without: frozenset[str] | set[str] = frozenset()) -> dict[str, str]:
    """The digest of each file below a folder, by its path there."""
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not without & set(path.relative_to(folder).parts)
    }


class Stamp(SynchronousTestCase):
    """`make dashboard` writes down what it read and what it made."""

    def setUp(self) -> None:
        self.stamp = json.loads((BUILT / "stamp.json").read_text())

    def test_was_built_from_these_sources(self) -> None:
        found = digests(SOURCES, NOT_BUILT_FROM)
        self.assertEqual(
            self.stamp["sources"], found, "run `make dashboard`, and commit the result"
        )

    def test_is_what_was_built(self) -> None:
        self.assertEqual(self.stamp["built"], digests(BUILT, {"stamp.json"}))

    def test_names_nobody_whom_packages_come_from(self) -> None:
        packages = json.loads((SOURCES / "package-lock.json").read_text())["packages"]
        self.assertTrue(packages)
        self.assertEqual([name for name, each in packages.items() if "resolved" in each], [])

    def test_asks_for_nothing_from_elsewhere(self) -> None:
        page = (BUILT / "index.html").read_text()
        styles = "".join(path.read_text() for path in BUILT.glob("assets/*.css"))
        self.assertNotIn("//", page)
        self.assertNotIn("//", styles)
        self.assertNotIn("data:", styles)

    def test_is_small(self) -> None:
        kinds = [path for path in BUILT.rglob("*") if path.suffix in {".js", ".css", ".html"}]
        fonts = sum(path.stat().st_size for path in BUILT.rglob("*.woff2"))
        rest = sum(len(gzip.compress(path.read_bytes())) for path in kinds)
        self.assertLess(fonts + rest, 150_000)
