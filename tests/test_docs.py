"""The documents: the reference is what the code says, and every link leads somewhere."""

import re
import textwrap
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from docs import generate
from tests.support.authority import issued
from veloflux.config.load import load

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\]\((?P<target>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")
YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
PEM = re.compile(r"tls/[\w-]+\.(?:pem|key)")
FRAME = {
    "listeners": "listeners: [{address: 127.0.0.1:8080}]\n",
    "pools": "pools:\n"
    + "".join(
        f"  - {{name: {name}, backends: [{{address: 127.0.0.1:9001}}]}}\n"
        for name in ("app", "stable", "next")
    ),
}


def pages() -> list[Path]:
    """Every document."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "news" / "README.md"])


def anchors(page: Path) -> set[str]:
    """What a page's headings can be reached by."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


class Reference(SynchronousTestCase):
    """docs/reference/, which `make docs` writes."""

    def test_is_what_the_code_says(self) -> None:
        for page, write in generate.PAGES.items():
            with self.subTest(page):
                written = (generate.REFERENCE / page).read_text()
                self.assertEqual(written, write(), f"{page} is behind; run `make docs`")

    def test_has_no_page_from_elsewhere(self) -> None:
        found = {page.name for page in generate.REFERENCE.glob("*.md")}
        self.assertEqual(found, set(generate.PAGES))


class Examples(SynchronousTestCase):
    """The configurations that pages show."""

    def test_can_be_used(self) -> None:
        shown = 0
        for page in pages():
            for block in YAML.finditer(page.read_text()):
                if block[1].startswith("#"):
                    continue  # another program's file
                shown += 1
                with self.subTest(page.name, example=block[1]):
                    file = Path(self.mktemp())
                    text = self.framed(block[1])
                    file.write_text(text)
                    self.store(file.parent, text)
                    self.assertIsNotNone(load(str(file), {}).node)
        self.assertGreater(shown, 3)

    def store(self, directory: Path, text: str) -> None:
        """Put certificates where the example has them."""
        pair = issued("example.org")
        for path in PEM.findall(text):
            file = directory / path
            file.parent.mkdir(exist_ok=True)
            file.touch(0o600)
            file.write_bytes(pair.key_pem if path.endswith(".key") else pair.pem)

    def framed(self, example: str) -> str:
        """The example, with the parts of a whole file that it leaves out."""
        if example.startswith("backends:"):
            example = "pools:\n  - name: app\n" + textwrap.indent(example, "    ")
        for key, part in FRAME.items():
            if not re.search(f"^{key}:", example, re.MULTILINE):
                example += part
        return example


class Links(SynchronousTestCase):
    """From page to page."""

    def test_lead_somewhere(self) -> None:
        broken = []
        for page in pages():
            for link in LINK.finditer(page.read_text()):
                if "://" in link["target"]:
                    continue
                target = (page.parent / link["target"]) if link["target"] else page
                if not target.exists() or (
                    link["anchor"] and link["anchor"] not in anchors(target)
                ):
                    broken.append(f"{page.relative_to(ROOT)}: {link[0]}")
        self.assertEqual(broken, [])

    def test_reach_every_page_of_the_documentation(self) -> None:
        seen: set[Path] = set()
        waiting = [ROOT / "README.md"]
        while waiting:
            page = waiting.pop().resolve()
            if page in seen or page.suffix != ".md" or not page.exists():
                continue
            seen.add(page)
            waiting += [page.parent / link["target"] for link in LINK.finditer(page.read_text())]
        missed = [str(page.relative_to(ROOT)) for page in pages() if page.resolve() not in seen]
        self.assertEqual(missed, [])
