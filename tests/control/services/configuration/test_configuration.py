"""Revisions: made, kept, refused, and in force after whatever happens."""

from typing import Any

from tests.control.services.configuration.rig import ADA, Case, adding
from veloflux.config.problem import ConfigError
from veloflux.control.services.configuration.configuration import (
    BY_FILE,
    MAX_WAITING,
    Author,
)
from veloflux.control.services.configuration.edits import Edited
from veloflux.control.services.configuration.revisions import KEPT
from veloflux.control.services.errors import (
    BusyError,
    ConflictError,
    InvalidError,
    NotFoundError,
    StaleError,
    UnavailableError,
)
from veloflux.control.store.store import StoreError


def addresses(snapshot: Any) -> list[str]:
    return [str(backend.address) for backend in snapshot.pools[0].backends]


class Starts(Case):
    def test_the_file_is_the_first_revision_of_an_empty_store(self) -> None:
        configuration = self.begin()
        entry = configuration.current().entry
        self.assertEqual((entry.number, entry.author, entry.parent), (1, "file", 0))
        self.assertEqual(self.serving.revision, 1)
        self.assertNotIn("admin", configuration.current().document)

    def test_the_last_revision_is_in_force_again_and_not_the_file(self) -> None:
        self.done(self.begin().change(adding("127.0.0.1:9002"), ADA))
        configuration = self.begin()
        self.assertEqual(configuration.current().number, 2)
        self.assertEqual(self.serving.revision, 2)
        self.assertEqual(addresses(self.serving), ["127.0.0.1:9001", "127.0.0.1:9002"])
        self.assertFalse(configuration.has_drifted)

    def test_a_file_that_has_changed_meanwhile_is_drift_and_changes_nothing(self) -> None:
        self.begin()
        self.file["pools"][0]["backends"][0]["address"] = "127.0.0.1:9009"
        configuration = self.begin()
        self.assertTrue(configuration.has_drifted)
        self.assertEqual(addresses(self.serving), ["127.0.0.1:9001"])
        outcome = self.done(configuration.reload(BY_FILE))
        self.assertEqual(outcome.revision, 2)
        self.assertFalse(configuration.has_drifted)
        self.assertEqual(addresses(self.serving), ["127.0.0.1:9009"])

    def test_a_file_that_is_no_good_for_traffic_keeps_nobody_from_the_last_revision(self) -> None:
        """C3"""
        self.begin()
        self.file["pools"] = "nonsense"
        self.assertEqual(self.begin().current().number, 1)
        self.assertEqual(addresses(self.serving), ["127.0.0.1:9001"])

    def test_what_is_wrong_with_the_files_own_part_is_told_with_its_line(self) -> None:
        self.begin()
        self.file["admin"]["address"] = "nonsense"
        error = self.assertRaises(ConfigError, self.begin)
        self.assertIn("/etc/veloflux.yaml:1: admin.address", str(error))

    def test_a_file_that_rules_is_a_new_revision_when_it_has_changed(self) -> None:
        self.file["authority"] = "file"
        self.begin()
        self.assertEqual(self.begin().current().number, 1)
        self.file["routes"].append({"host": "a.example", "pool": "app"})
        configuration = self.begin()
        self.assertEqual(configuration.current().number, 2)
        self.assertEqual(self.serving.revision, 2)


class Changes(Case):
    def setUp(self) -> None:
        super().setUp()
        self.configuration = self.begin()

    def nothing_happened(self) -> None:
        self.assertEqual(self.configuration.current().number, 1)
        self.assertEqual(self.serving.revision, 1)
        self.assertEqual(addresses(self.serving), ["127.0.0.1:9001"])
        self.assertNotIn(("revision", f"{2:012d}"), self.store.documents)

    def test_a_change_is_a_revision_that_says_who_why_and_what(self) -> None:
        told: list[int] = []
        self.configuration.on_change.append(lambda revision: told.append(revision.number))
        self.clock.advance(5)
        outcome = self.done(self.configuration.change(adding("127.0.0.1:9002"), ADA))
        entry = self.configuration.current().entry
        self.assertEqual(outcome.revision, 2)
        self.assertEqual(outcome.changes, ("backend 127.0.0.1:9002 of pool app added",))
        self.assertEqual(entry.changes, outcome.changes)
        self.assertEqual((entry.author, entry.reason, entry.parent), ("ada", "because", 1))
        self.assertEqual(entry.at, 1005.0)
        self.assertEqual(self.serving.revision, 2)
        self.assertEqual(told, [2])

    def test_no_worker_serves_by_it_before_it_is_durable(self) -> None:
        self.store.fault = StoreError("no space left on device")
        error = self.refused(
            UnavailableError, self.configuration.change(adding("127.0.0.1:9002"), ADA)
        )
        self.assertIn("no space left", error.detail)
        self.nothing_happened()
        self.store.fault = None
        self.done(self.configuration.change(adding("127.0.0.1:9002"), ADA))

    def test_what_a_worker_refuses_is_no_revision(self) -> None:
        self.spawner.why_not = "cannot open the log"
        error = self.refused(
            ConflictError, self.configuration.change(adding("127.0.0.1:9002"), ADA)
        )
        self.assertIn("worker 0 refused it: cannot open the log", error.detail)
        self.nothing_happened()

    def test_what_is_not_valid_is_told_with_every_fault_and_its_place(self) -> None:
        def edit(document: Any) -> Any:
            pool = {"name": "web/1", "backends": [{"address": "127.0.0.1"}], "tpyo": 1}
            return Edited({**document, "pools": [*document["pools"], pool]})

        error = self.refused(InvalidError, self.configuration.change(edit, ADA))
        self.assertEqual(
            [each.pointer for each in error.problems],
            ["/pools/1/name", "/pools/1/backends/0/address", "/pools/1/tpyo"],
        )
        self.nothing_happened()

    def test_a_change_that_was_meant_for_another_revision_is_stale(self) -> None:
        etag = self.configuration.current().etag
        self.done(self.configuration.change(adding("127.0.0.1:9002"), ADA, etag))
        error = self.refused(
            StaleError, self.configuration.change(adding("127.0.0.1:9003"), ADA, etag)
        )
        self.assertEqual(error.etag, self.configuration.current().etag)
        self.assertEqual(self.configuration.current().number, 2)

    def test_each_builds_on_the_one_before(self) -> None:
        doing = [
            self.start(self.configuration.change(adding(f"127.0.0.1:{9100 + i}"), ADA))
            for i in range(20)
        ]
        for _ in range(20):
            self.turn()
        numbers = [self.successResultOf(each).revision for each in doing]
        self.assertEqual(numbers, list(range(2, 22)))
        self.assertEqual(len(addresses(self.serving)), 21)

    def test_those_that_wait_are_bounded(self) -> None:
        self.spawner.is_held = True
        doing = [
            self.start(self.configuration.change(adding("127.0.0.1:9002"), ADA))
            for _ in range(MAX_WAITING + 1)
        ]
        self.failureResultOf(doing[-1], BusyError)
        for each in doing[:-1]:
            each.addErrback(lambda _: None)

    def test_a_change_goes_on_when_nobody_waits_for_it(self) -> None:
        doing = self.start(self.configuration.change(adding("127.0.0.1:9002"), ADA))
        doing.addErrback(lambda _: None)
        doing.cancel()
        self.turn()
        self.assertEqual(self.serving.revision, 2)
        self.assertEqual(self.configuration.current().number, 2)

    def test_a_change_that_changes_nothing_is_no_revision(self) -> None:
        outcome = self.done(self.configuration.change(lambda document: Edited({**document}), ADA))
        self.assertEqual((outcome.revision, outcome.changes), (1, ()))
        self.nothing_happened()

    def test_it_can_be_tried_without_being_made(self) -> None:
        proposal = self.done(self.configuration.check(adding("127.0.0.1:9002"), ADA))
        self.assertEqual(
            [str(change) for change in proposal.changes],
            ["backend 127.0.0.1:9002 of pool app added"],
        )
        self.nothing_happened()

    def test_what_is_the_files_alone_cannot_be_changed(self) -> None:
        edit = self.refused(
            InvalidError,
            self.configuration.change(lambda old: Edited({**old, "admin": {"password": "x"}}), ADA),
        )
        self.assertEqual([each.pointer for each in edit.problems], ["/admin"])
        self.nothing_happened()

    def test_a_file_that_rules_refuses_changes(self) -> None:
        self.configuration.does_file_rule = True
        error = self.refused(
            ConflictError, self.configuration.change(adding("127.0.0.1:9002"), ADA)
        )
        self.assertIn("authority", error.detail)
        self.nothing_happened()


class Variables(Case):
    """What the environment holds is the platform's."""

    def setUp(self) -> None:
        super().setUp()
        self.file["routes"][0]["request_headers"] = {"set": {"X-Key": "${SECRET}"}}
        self.configuration = self.begin()

    def telling(self, value: str) -> Any:
        def edit(document: Any) -> Any:
            route = {**document["routes"][0], "response_headers": {"set": {"X-Told": value}}}
            return Edited({**document, "routes": [route]})

        return edit

    def test_are_replaced_for_the_workers_and_never_stored(self) -> None:
        process = self.spawner.processes[0]
        self.assertIn("hush", repr(process.heard))
        for document in self.store.documents.values():
            self.assertNotIn(b"hush", document.body)
        headers = self.configuration.current().document["routes"][0]["request_headers"]
        self.assertEqual(headers, {"set": {"X-Key": "${SECRET}"}})

    def test_cannot_be_read_by_who_may_only_change(self) -> None:
        for value in ("${SECRET}", "a ${SECRET:-} b", "$${x} ${SECRET}"):
            error = self.refused(InvalidError, self.configuration.change(self.telling(value), ADA))
            self.assertEqual(
                [each.pointer for each in error.problems],
                ["/routes/0/response_headers/set/X-Told"],
            )

    def test_that_are_there_may_stay(self) -> None:
        self.done(self.configuration.change(self.telling("plain"), ADA))
        self.done(self.configuration.change(adding("127.0.0.1:9002"), ADA))
        self.done(self.configuration.change(self.telling("$${NOT}"), ADA))

    def test_may_be_used_by_the_operator(self) -> None:
        operator = Author("root", may_use_variables=True)
        self.done(self.configuration.change(self.telling("${SECRET}"), operator))


class Rollbacks(Case):
    def setUp(self) -> None:
        super().setUp()
        self.configuration = self.begin()

    def test_make_a_new_revision_that_equals_the_old(self) -> None:
        first = self.configuration.current().document
        self.done(self.configuration.change(adding("127.0.0.1:9002"), ADA))
        outcome = self.done(self.configuration.roll_back(1, Author("bob")))
        self.assertEqual(outcome.revision, 3)
        self.assertEqual(outcome.changes, ("backend 127.0.0.1:9002 of pool app removed",))
        self.assertEqual(self.configuration.current().document, first)
        self.assertEqual(self.configuration.current().entry.reason, "back to revision 1")
        self.assertEqual(addresses(self.serving), ["127.0.0.1:9001"])

    def test_to_what_there_is_not_are_refused(self) -> None:
        for number in (0, 2, -1):
            self.refused(NotFoundError, self.configuration.roll_back(number, ADA))

    def test_are_possible_as_far_as_revisions_are_kept(self) -> None:
        self.configuration.history._kept = 5
        for i in range(10):
            self.done(self.configuration.change(adding(f"127.0.0.1:{9100 + i}"), ADA))
        self.assertGreater(KEPT, 5)
        kept = [entry.number for entry in self.configuration.revisions()]
        self.assertEqual(kept, [7, 8, 9, 10, 11])
        self.refused(NotFoundError, self.configuration.roll_back(6, ADA))
        self.done(self.configuration.roll_back(8, ADA))
        self.assertEqual(len([key for key in self.store.documents if key[0] == "revision"]), 5)
        again = self.begin()
        self.assertEqual([entry.number for entry in again.revisions()], [8, 9, 10, 11, 12])


class Reloads(Case):
    def setUp(self) -> None:
        super().setUp()
        self.configuration = self.begin()

    def test_a_changed_file_is_a_new_revision(self) -> None:
        self.file["pools"][0]["backends"].append({"address": "127.0.0.1:9002"})
        outcome = self.done(self.configuration.reload(BY_FILE))
        self.assertEqual(outcome.changes, ("backend 127.0.0.1:9002 of pool app added",))
        self.assertEqual(self.configuration.current().entry.author, "file")

    def test_a_file_that_says_what_it_said_leaves_what_was_changed_since(self) -> None:
        self.done(self.configuration.change(adding("127.0.0.1:9002"), ADA))
        outcome = self.done(self.configuration.reload(BY_FILE))
        self.assertEqual((outcome.revision, outcome.changes), (2, ()))
        self.assertEqual(len(addresses(self.serving)), 2)
        forced = self.done(self.configuration.reload(ADA, is_forced=True))
        self.assertEqual(forced.revision, 3)
        self.assertEqual(len(addresses(self.serving)), 1)

    def test_all_errors_of_the_file_are_told_with_their_lines(self) -> None:
        self.file = b"listeners:\n  - address: nonsense\npools:\n  - nmae: x\n"
        error = self.refused(InvalidError, self.configuration.reload(ADA))
        self.assertIn("/etc/veloflux.yaml:2: listeners[0].address", error.problems[0].detail)
        self.assertEqual(error.problems[0].pointer, "/listeners/0/address")
        self.assertGreater(len(error.problems), 1)
        self.assertEqual(self.serving.revision, 1)
        self.assertFalse(self.rollout.last.is_success)

    def test_what_is_read_at_the_start_only_is_refused(self) -> None:
        self.file["data_dir"] = "/elsewhere"
        error = self.refused(ConflictError, self.configuration.reload(ADA))
        self.assertIn("restart", error.detail)

    def test_who_asks_meanwhile_gets_the_next_result_and_the_rest_is_one(self) -> None:
        """C4: a storm of reloads."""
        self.file["pools"][0]["backends"].append({"address": "127.0.0.1:9002"})
        first = self.start(self.configuration.reload(ADA))
        self.file["pools"][0]["backends"].append({"address": "127.0.0.1:9003"})
        others = [self.start(self.configuration.reload(ADA)) for _ in range(100)]
        for _ in range(3):
            self.turn()
        self.assertEqual(self.successResultOf(first).revision, 2)
        self.assertEqual({self.successResultOf(each).revision for each in others}, {3})
        self.assertEqual(self.configuration.current().number, 3)

    def test_a_fault_of_ours_is_told_as_well(self) -> None:
        self.file = {"listeners": object()}
        self.refused(TypeError, self.configuration.reload(ADA))
        self.assertFalse(self.rollout.last.is_success)
        self.file = {**self.configuration.current().document, "admin": {"address": "127.0.0.9:0"}}
        self.done(self.configuration.reload(ADA))

    def test_drift_is_noticed_when_somebody_looks(self) -> None:
        self.configuration.look(self.written())
        self.assertFalse(self.configuration.has_drifted)
        self.file["routes"] = []
        self.configuration.look(self.written())
        self.assertTrue(self.configuration.has_drifted)
