import json
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.config.files import loaded
from veloflux.config.load import load
from veloflux.config.reference import json_schema, markdown
from veloflux.config.schema import Configuration
from veloflux.config.unavailable import UNAVAILABLE

ROOT = Path(__file__).resolve().parents[2]


class Reference(SynchronousTestCase):
    def test_the_committed_page_is_current(self) -> None:
        page = (ROOT / "docs/reference/configuration.md").read_text()
        self.assertEqual(page, markdown(), "run `make docs`")

    def test_its_example_is_right(self) -> None:
        found = re.search(r"```yaml\n(.*?)```", markdown(), re.DOTALL)
        assert found is not None
        self.assertEqual(loaded(found[1]).warnings, ())

    def test_every_key_is_described(self) -> None:
        schema = json_schema()
        sections = [schema, *schema["$defs"].values()]
        for section in sections:
            self.assertIn("description", section, section["title"])
            self.assertIs(section["additionalProperties"], False)
            for key, field in section["properties"].items():
                self.assertTrue(field.get("description"), f"{section['title']}.{key}")

    def test_says_what_is_not_available(self) -> None:
        for row in UNAVAILABLE:
            self.assertIn(f"{row.instead}. |", markdown())

    def test_defaults_are_as_they_are_written(self) -> None:
        schema = json_schema()
        limits = schema["$defs"]["Limits"]["properties"]
        self.assertEqual(limits["header_timeout"]["default"], "10s")
        self.assertEqual(limits["max_body_bytes"]["default"], "10MiB")
        self.assertEqual(schema["properties"]["workers"]["default"], "auto")
        self.assertEqual(schema["required"], ["listeners"])

    def test_the_schema_is_json(self) -> None:
        self.assertEqual(json.loads(json.dumps(json_schema())), json_schema())


class Example(SynchronousTestCase):
    """etc/veloflux.yaml."""

    path = ROOT / "etc/veloflux.yaml"

    def test_is_right(self) -> None:
        loaded = load(str(self.path), {})
        self.assertEqual(loaded.warnings, ())
        self.assertEqual(loaded.node.data_dir, str(ROOT / "var"))

    def test_shows_every_key_that_can_be_used(self) -> None:
        text = self.path.read_text()
        hidden = {row.path[-1] for row in UNAVAILABLE if not row.is_partial}
        waiting = [Configuration.model_json_schema()]
        shown: set[str] = set()
        while waiting:
            section = waiting.pop()
            for key, field in section["properties"].items():
                if key in hidden:
                    continue
                self.assertRegex(text, rf"(?m)\b{key}:", section["title"])
                for name in re.findall(r"#/\$defs/(\w+)", json.dumps(field)):
                    if name not in shown:
                        shown.add(name)
                        waiting.append(Configuration.model_json_schema()["$defs"][name])
        self.assertIn("HealthCheck", shown)

    def test_is_right_with_all_that_is_commented_out(self) -> None:
        """Except for what stands in place of something else."""
        text = self.path.read_text()
        text = re.sub(r"(?m)^( *)# (?=( *)[a-z_]+:( |$))", r"\1", text)
        text = re.sub(r"(?m)^ *(pools: \[|veloflux ).*\n", "", text)
        self.assertNotIn("# strip_prefix", text)
        self.assertEqual(loaded(text).warnings, ())
