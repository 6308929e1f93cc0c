"""The documents: the reference is what the code says, and every link leads somewhere."""

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from docs import generate

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\]\((?P<target>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")


def pages() -> list[Path]:
    """Every document."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("news/*.md")])


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
