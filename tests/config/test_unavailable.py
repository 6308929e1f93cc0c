"""What this version cannot do is refused by name, and nothing else is."""

from twisted.trial.unittest import SynchronousTestCase

from tests.config.files import (
    SMALLEST,
    loaded,
    problems,
    with_backend,
    with_listener,
    with_pool,
)
from veloflux.config.explain import section_at
from veloflux.config.pools import ALGORITHMS, ALIASES
from veloflux.config.unavailable import AVAILABLE_ALGORITHMS, UNAVAILABLE

# One for each row of the table.
ASKED: tuple[tuple[str, str], ...] = (("pools[0].algorithm", with_pool("algorithm: adaptive")),)


class Unavailable(SynchronousTestCase):
    def test_is_refused_by_name(self) -> None:
        for path, text in ASKED:
            with self.subTest(path):
                [problem] = (each for each in problems(text) if each.code != "file")
                self.assertEqual((problem.path, problem.code), (path, "unavailable"))
                self.assertIn("is not available in this version; ", problem.message)
                self.assertIn(path.rpartition(".")[2], problem.message)
                self.assertGreater(problem.line, 0)

    def test_every_row_is_tried(self) -> None:
        tried = [path.replace("[0]", ".*") for path, _ in ASKED]
        self.assertEqual(tried, [".".join(row.path) for row in UNAVAILABLE])

    def test_every_row_is_a_key_of_the_schema(self) -> None:
        for row in UNAVAILABLE:
            *parents, key = (part for part in row.path if part != "*")
            section = section_at(tuple(parents))
            assert section is not None, row.path
            self.assertIn(key, section.model_fields)

    def test_what_is_the_case_anyway_may_be_written(self) -> None:
        for text in (
            SMALLEST + "authority: file\nadmin: {tls: null}\n",
            with_listener("tls: null"),
            with_backend("tls: null"),
        ):
            with self.subTest(text):
                self.assertEqual(loaded(text).warnings, ())

    def test_each_algorithm_is_available_or_refused_by_name(self) -> None:
        for name in (*ALGORITHMS, "p2c"):
            found = problems(with_pool(f"algorithm: {name}"))
            if ALIASES.get(name, name) in AVAILABLE_ALGORITHMS:
                self.assertEqual(found, ())
            else:
                self.assertIn(f'algorithm: "{name}" is not available', found[0].message)

    def test_is_validated_all_the_same(self) -> None:
        found = problems(with_pool("algorithm: adaptive\n    panic_percent: -1"))
        self.assertEqual(
            [(problem.path, problem.code) for problem in found],
            [
                ("pools[0].algorithm", "unavailable"),
                ("pools[0].panic_percent", "value"),
            ],
        )
