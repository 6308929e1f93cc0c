"""The rules of the tree that a reader cannot be asked to check by eye."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "veloflux"
CODE = ("veloflux", "bench", "docs", "tests", ".ci", "twisted", "stubs")
LONGEST = 400  # lines; over it a module says why in its first lines
# Words that say nothing of what a thing is about.
VAGUE = frozenset(
    {"manager", "handler", "engine", "processor", "helper", "helpers", "util", "utils"}
    | {"common", "base", "misc", "data", "info"}
)
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# What tests/ has beside a mirror of the package.
BESIDE = frozenset({"bench", "corpus", "support", "system"})
FRAGMENTS = frozenset({"feature", "fix", "speed"})
# Paths of one machine. Split, so that this file does not name them itself.
MACHINE = re.compile("|".join((r"(?<![\w.])/wo" + r"rk/", r"/ro" + r"ot/", r"/ho" + r"me/\w")))


def modules(*folders: str) -> Iterator[Path]:
    """All Python files under the folders."""
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            if "__pycache__" not in file.parts:
                yield file


def is_vague(name: str) -> bool:
    """Whether one of the words in a snake_case or CamelCase name says nothing."""
    known = name.replace("DataPlane", "")  # the field's own term
    return not VAGUE.isdisjoint(word.lower() for word in WORD.findall(known))


def tree(file: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(file.read_text(), str(file))


def text_files() -> Iterator[Path]:
    """All that belongs to the project and is text, by the endings it uses."""
    endings = {".py", ".pyi", ".md", ".yaml", ".yml", ".toml", ".cfg", ".txt", ".service", ".svg"}
    endings |= {".ts", ".tsx", ".js", ".css", ".html", ".json"}
    skipped = {".git", ".venv", "build", "dist", "var", "results", "__pycache__", "node_modules"}
    for folder in (ROOT, *(ROOT / name for name in (*CODE, "dashboard", "etc", "news"))):
        found = folder.glob("*") if folder == ROOT else folder.rglob("*")
        for file in sorted(found):
            inside = file.relative_to(ROOT).parts
            if file.suffix in endings and file.is_file() and not skipped & set(inside):
                yield file


class Tree(SynchronousTestCase):
    """Rules for whole files."""

    def none(self, found: list[str], rule: str) -> None:
        """Fail with every offender, not only the first."""
        self.assertEqual(found, [], rule)

    def test_plug_in_folders_are_no_packages(self) -> None:
        found = [str(file) for file in (ROOT / "twisted").rglob("__init__.py")]
        self.none(found, "an __init__.py here hides Twisted itself, or all other plug-ins")

    def test_package_files_hold_a_docstring_and_no_code(self) -> None:
        found = []
        for file in modules("veloflux"):
            if file.name != "__init__.py":
                continue
            # The version lives in the package's own file, and there alone.
            allowed = {"__all__", "__version__"} if file.parent == PACKAGE else {"__all__"}
            body = tree(file).body
            rest = body[1:] if ast.get_docstring(tree(file)) else [None]
            for statement in rest:
                targets = getattr(statement, "targets", [getattr(statement, "target", None)])
                names = {getattr(target, "id", None) for target in targets}
                if not names <= allowed:
                    found.append(str(file.relative_to(ROOT)))
        self.none(found, "a package's __init__.py holds a docstring, perhaps __all__")

    def test_long_modules_say_why(self) -> None:
        found = []
        for file in modules("veloflux", "bench", "docs"):
            lines = file.read_text().splitlines()
            if len(lines) > LONGEST and "long because" not in " ".join(lines[:12]).lower():
                found.append(f"{file.relative_to(ROOT)}: {len(lines)} lines")
        self.none(found, "split it, or say in its first lines `long because …`")

    def test_names_say_what_things_are_about(self) -> None:
        found = []
        for file in modules("veloflux", "bench"):
            inside = file.relative_to(ROOT)
            found += [f"{inside}" for part in inside.with_suffix("").parts if is_vague(part)]
            for node in ast.walk(tree(file)):
                if isinstance(node, ast.ClassDef) and is_vague(node.name):
                    found.append(f"{inside}:{node.lineno}: {node.name}")
        self.none(found, "a name says what it is about")

    def test_the_rule_for_names_knows_what_it_looks_for(self) -> None:
        for name in ("BaseThing", "thing_utils", "RequestHandler", "data", "HTTPInfo"):
            self.assertTrue(is_vague(name), name)
        for name in (
            "database",
            "Baseline",
            "inform",
            "dated",
            "informed_pick",
            "Update",
            "DataPlane",
        ):
            self.assertFalse(is_vague(name), name)

    def test_every_module_says_what_it_is(self) -> None:
        found = [
            str(file.relative_to(ROOT))
            for file in modules("veloflux", "bench", "docs", "twisted", ".ci")
            if not ast.get_docstring(tree(file))
        ]
        self.none(found, "a module opens with a docstring")

    def test_tests_mirror_the_package(self) -> None:
        found = []
        for file in modules("tests"):
            folder = file.parent.relative_to(ROOT / "tests")
            if folder.parts and folder.parts[0] in BESIDE:
                continue
            if not (PACKAGE / folder).is_dir():
                found.append(str(file.relative_to(ROOT)))
        self.none(sorted(set(found)), "a test lives where the module that it tests lives")

    def test_tests_can_be_found(self) -> None:
        found = [
            str(folder.relative_to(ROOT))
            for folder in sorted({file.parent for file in (ROOT / "tests").rglob("test_*.py")})
            if not (folder / "__init__.py").exists()
        ]
        self.none(found, "trial finds tests only in packages")

    def test_news_fragments_are_named_for_their_kind(self) -> None:
        name = re.compile(r"\+?[a-z0-9][a-z0-9-]*\.(?P<kind>[a-z]+)\.md")
        found = []
        for file in sorted((ROOT / "news").glob("*")):
            if file.name in {"README.md", ".gitignore"}:
                continue
            match = name.fullmatch(file.name)
            if match is None or match["kind"] not in FRAGMENTS or not file.read_text().strip():
                found.append(file.name)
        self.none(found, f"a fragment is a text called +NAME.KIND.md, KIND of {sorted(FRAGMENTS)}")

    def test_nothing_names_a_path_of_one_machine(self) -> None:
        found = []
        for file in text_files():
            for number, line in enumerate(file.read_text().splitlines(), 1):
                if MACHINE.search(line):
                    found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()}")
        self.none(found, "a path of one machine helps nobody on another")


class Style(SynchronousTestCase):
    """Rules for single lines that the linter does not know."""

    def test_marks_of_unfinished_work_are_not_left(self) -> None:
        marks = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
        found = [
            f"{file.relative_to(ROOT)}:{number}"
            for file in modules("veloflux", "bench", "docs", "twisted")
            for number, line in enumerate(file.read_text().splitlines(), 1)
            if marks.search(line)
        ]
        self.assertEqual(found, [])

    def test_exceptions_from_the_rules_give_a_reason(self) -> None:
        # `
        bare = re.compile(r"#\s*(?:noqa(?::\s*[A-Z0-9, ]+)?|type: ignore(?:\[[\w, -]+\])?)\s*$")
        found = []
        for file in modules("veloflux"):
            lines = ["", *file.read_text().splitlines()]
            for number, line in enumerate(lines):
                if bare.search(line) and not lines[number - 1].strip().startswith("#"):
                    found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()}")
        self.assertEqual(found, [], "say beside it why")
