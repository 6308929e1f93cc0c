"""`veloflux rollback` without a number: to which revision it goes."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from veloflux.command.exits import CommandError
from veloflux.command.revisions import earlier


def history(*rows: tuple[str, str]) -> list[dict[str, Any]]:
    """Revisions from 1 of these authors and contents, the newest first and in force."""
    made = [
        {
            "number": number,
            "author": author,
            "etag": f"{number}-{content}",
            "parent": number - 1 or None,
            "in_force": number == len(rows),
        }
        for number, (author, content) in enumerate(rows, 1)
    ]
    return made[::-1]


class Earlier(SynchronousTestCase):
    def test_is_the_one_before(self) -> None:
        self.assertEqual(earlier(history(("file", "a"), ("ada", "b"))), 1)

    def test_passes_over_what_the_daemon_took_back(self) -> None:
        rows = [("file", "a"), ("ada", "b"), ("ada", "bad"), ("veloflux", "b")]
        self.assertEqual(earlier(history(*rows)), 1)
        self.assertEqual(earlier(history(*rows, ("ada", "worse"), ("veloflux", "b"))), 1)

    def test_passes_over_nothing_that_people_made(self) -> None:
        taken_back = (("file", "a"), ("ada", "b"), ("ada", "a"))
        self.assertEqual(earlier(history(*taken_back)), 2)
        named_so = (("file", "a"), ("veloflux", "b"), ("veloflux", "c"))
        self.assertEqual(earlier(history(*named_so)), 2)

    def test_needs_one(self) -> None:
        for rows in ([("file", "a")], [("file", "a"), ("ada", "bad"), ("veloflux", "a")]):
            with self.assertRaises(CommandError):
                earlier(history(*rows))
