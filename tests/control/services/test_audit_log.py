from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.control.services.identity.case import somebody
from tests.control.store.memory import MemoryStore
from veloflux.control.services.audit import Entry
from veloflux.control.services.audit_log import (
    LOG,
    MAX_READERS,
    REFUSALS,
    REFUSALS_OF_ADDRESS,
    RETENTION_S,
    AuditLog,
    AuditRecord,
    Wanted,
)
from veloflux.control.services.errors import BusyError, UnavailableError
from veloflux.control.store.store import StoreError


class AuditLogTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore()
        self.log = AuditLog(self.store, lambda: 1e9 + self.clock.seconds(), self.clock.seconds)

    def got(self, work: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def record(self, action: str = "put_api_pools", **more: Any) -> None:
        given = {"by": somebody(), "object": "/api/pools/app", "address": "192.0.2.1"} | more
        self.got(self.log.record(Entry(action=action, request_id="r1", **given)))

    def refuse(self, address: str = "192.0.2.1", count: int = 1) -> None:
        for _ in range(count):
            self.record(outcome="refused", by=None, address=address, reason="no")

    def page(self, page: int = 1, page_size: int = 500, **wanted: Any) -> list[AuditRecord]:
        found: list[AuditRecord] = self.got(self.log.page(Wanted(**wanted), page, page_size))[0]
        return found


class ReadTests(AuditLogTestCase):
    def test_tells_who_did_what_to_which(self) -> None:
        self.record(before=3, after=4)
        (found,) = self.page()
        self.assertEqual(
            found,
            AuditRecord(
                id=1,
                at=1e9,
                actor="somebody",
                actor_id="u-somebody",
                action="put_api_pools",
                object="/api/pools/app",
                outcome="done",
                before_revision=3,
                after_revision=4,
                address="192.0.2.1",
                request_id="r1",
            ),
        )

    def test_finds_by_actor_action_object_and_time(self) -> None:
        self.record("post_api_pools", object="/api/pools")
        self.clock.advance(10.0)
        self.record("delete_api_pools_by_name")
        self.record("put_api_routes_by_id", object="/api/routes/app", by=somebody(user_id="u-2"))
        self.record("post_api_pools_app", object="/api/pools/apple", by=None)
        for wanted, expected in (
            ({}, [4, 3, 2, 1]),
            ({"actor": "somebody"}, [3, 2, 1]),
            ({"actor": "u-2"}, [3]),
            ({"actor": "nobody"}, []),
            ({"action": "post_api_pools"}, [1]),
            ({"object": "/api/pools"}, [4, 2, 1]),
            ({"object": "/api/pools/"}, [4, 2]),
            ({"object": "/api/pools/app"}, [2]),
            ({"since": 1e9 + 1}, [4, 3, 2]),
            ({"since": 1e9 + 11}, []),
            ({"since": 1e9 + 1, "actor": "u-somebody"}, [2]),
        ):
            self.assertEqual([each.id for each in self.page(**wanted)], expected, wanted)

    def test_pages_over_more_than_the_store_gives_at_once(self) -> None:
        for _ in range(2100):
            self.record()
        found, count = self.got(self.log.page(Wanted(), 5, 500))
        self.assertEqual((count, [each.id for each in found]), (2100, list(range(100, 0, -1))))
        self.assertEqual([each.id for each in self.page(2, 2)], [2098, 2097])
        self.assertEqual(self.page(6), [])

    def test_few_read_at_once(self) -> None:
        self.record()
        records, waiting = self.store.records, Deferred()  # type: ignore[var-annotated]

        async def slow(*arguments: Any, **more: Any) -> Any:
            await waiting
            return await records(*arguments, **more)

        self.store.records = slow  # type: ignore[method-assign]
        asked = [
            Deferred.fromCoroutine(self.log.page(Wanted(), 1, 10)) for _ in range(MAX_READERS + 1)
        ]
        self.failureResultOf(asked.pop(), BusyError)
        waiting.callback(None)
        self.assertEqual([self.successResultOf(each)[1] for each in asked], [1] * MAX_READERS)
        self.page()

    def test_tells_by_which_key(self) -> None:
        self.record(by=somebody(credential="key", key_id="k1"))
        (found,) = self.page()
        self.assertEqual((found.credential, found.key_id), ("key", "k1"))

    def test_long_texts_are_cut(self) -> None:
        self.record(object="/" + "x" * 10_000, reason="y" * 10_000)
        (found,) = self.page()
        self.assertEqual((len(found.object), len(found.reason)), (512, 512))


class RefusalTests(AuditLogTestCase):
    def test_of_one_address_so_many_are_kept_and_the_rest_is_counted(self) -> None:
        self.refuse(count=REFUSALS_OF_ADDRESS + 7)
        self.assertEqual(len(self.page()), REFUSALS_OF_ADDRESS)
        self.clock.advance(60.0)
        self.refuse()
        self.assertEqual(self.page()[0].left_out, 7)
        self.clock.advance(60.0)
        self.refuse()
        self.assertEqual(self.page()[0].left_out, 0)

    def test_another_address_is_kept_all_the_same(self) -> None:
        self.refuse(count=REFUSALS_OF_ADDRESS + 7)
        self.refuse("192.0.2.2")
        self.assertEqual((self.page()[0].address, self.page()[0].left_out), ("192.0.2.2", 0))

    def test_of_all_addresses_so_many_are_kept(self) -> None:
        for i in range(REFUSALS + 50):
            self.refuse(f"2001:db8:{i:x}::1")
        self.assertEqual(len(self.page()), REFUSALS)

    def test_what_was_done_is_always_kept(self) -> None:
        self.refuse(count=REFUSALS * 2)
        for _ in range(REFUSALS * 2):
            self.record()
        self.assertEqual(len(self.page(actor="somebody")), REFUSALS * 2)


class KeepTests(AuditLogTestCase):
    def test_what_is_old_goes(self) -> None:
        self.record()
        self.clock.advance(10.0)
        self.record()
        self.clock.advance(RETENTION_S - 5.0)
        self.assertEqual(self.got(self.log.sweep()), 1)
        self.assertEqual([each.id for each in self.page()], [2])
        self.assertEqual(self.got(self.log.sweep()), 0)

    def test_so_does_what_is_too_much(self) -> None:
        self.log = AuditLog(
            self.store, lambda: 1e9 + self.clock.seconds(), self.clock.seconds, max_records=10
        )
        for _ in range(25):
            self.record()
            self.clock.advance(1.0)
        self.assertEqual(self.got(self.log.sweep()), 15)
        self.assertEqual([each.id for each in self.page()], list(range(25, 15, -1)))

    def test_nothing_is_swept_from_nothing(self) -> None:
        self.assertEqual(self.got(self.log.sweep()), 0)

    def test_says_when_it_cannot_keep(self) -> None:
        self.store.fault = StoreError("/var/lib/x/store.db: the disk is full")
        error = self.failureResultOf(
            Deferred.fromCoroutine(self.log.record(Entry(None, "x", "/x", "192.0.2.1", "r"))),
            UnavailableError,
        ).value
        self.assertNotIn("/var", error.detail)
        self.assertEqual(len(self.flushLoggedErrors()), 0)
        self.assertNotIn(LOG, self.store.logs)
