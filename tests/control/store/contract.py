"""What every store keeps to.

A mix-in for `twisted.trial.unittest.TestCase`, and not its synchronous sister: a store over the
network needs the reactor.
"""

from typing import Any

from veloflux.control.store.store import (
    MAX_ITEMS,
    Append,
    Change,
    ConflictError,
    Delete,
    Put,
    Store,
    StoreError,
    Write,
)


class StoreContract:
    """`store` is a new store, set by `setUp`."""

    store: Store
    assertEqual: Any
    fail: Any

    async def refused(self, *writes: Write) -> StoreError:
        try:
            await self.store.commit(*writes)
        except StoreError as error:
            return error
        raise AssertionError("it was not refused")

    async def keys(self, kind: str, after: str = "", limit: int = MAX_ITEMS) -> list[str]:
        return [found.key for found in await self.store.scan(kind, after, limit)]

    async def numbers(self, log: str = "log", **bounds: Any) -> list[int]:
        return [found.number for found in await self.store.records(log, **bounds)]

    async def test_a_new_one_is_empty(self) -> None:
        self.assertEqual(await self.store.get("kind", "key"), None)
        self.assertEqual(list(await self.store.scan("kind")), [])
        self.assertEqual(list(await self.store.changes(0)), [])
        self.assertEqual(list(await self.store.records("log")), [])
        self.assertEqual(await self.store.trim("log", 1e12), 0)

    async def test_gives_back_what_was_put(self) -> None:
        bodies = (b"", b"{}", bytes(range(256)), b"x" * 100_000)
        for i, body in enumerate(bodies):
            version = await self.store.commit(Put("kind", f"key {i}", body))
            found = await self.store.get("kind", f"key {i}")
            assert found is not None
            self.assertEqual(
                (found.kind, found.key, found.version, found.body),
                ("kind", f"key {i}", version, body),
            )

    async def test_kinds_and_keys_are_any_text(self) -> None:
        names = ("a:b", "a b", "a/b", "*", "é", "e\u0301", "\U0001f600", "a\0b", "a\nb", "%", "'")
        for name in names:
            await self.store.commit(Put(name, name, name.encode()), Append(name, 1.0, b""))
        for name in names:
            found = await self.store.get(name, name)
            self.assertEqual(found and found.body, name.encode())
            self.assertEqual(await self.keys(name), [name])
            self.assertEqual(await self.numbers(name), [1])

    async def test_sequences_grow_and_are_the_versions(self) -> None:
        first = await self.store.commit(Put("kind", "one", b"1"))
        second = await self.store.commit(Put("kind", "one", b"2"), Put("kind", "two", b"2"))
        self.assertEqual(second > first > 0, True)
        for key in ("one", "two"):
            found = await self.store.get("kind", key)
            self.assertEqual(found and found.version, second)

    async def test_writes_what_is_as_expected(self) -> None:
        first = await self.store.commit(Put("kind", "key", b"1", expected=0))
        second = await self.store.commit(Put("kind", "key", b"2", expected=first))
        await self.store.commit(Delete("kind", "key", expected=second))
        self.assertEqual(await self.store.get("kind", "key"), None)
        await self.store.commit(Put("kind", "key", b"3", expected=0))

    async def test_writes_nothing_when_one_is_not_as_expected(self) -> None:
        version = await self.store.commit(Put("kind", "there", b"1"))
        for wrong, actual in (
            (Put("kind", "there", b"2", expected=0), version),
            (Put("kind", "there", b"2", expected=version + 1), version),
            (Delete("kind", "there", expected=version + 1), version),
            (Put("kind", "missing", b"2", expected=version), 0),
            (Delete("kind", "missing", expected=version), 0),
        ):
            error = await self.refused(
                Put("kind", "another", b""), Append("log", 1.0, b""), wrong, Delete("kind", "there")
            )
            assert isinstance(error, ConflictError)
            self.assertEqual((error.key, error.actual), (wrong.key, actual))
        self.assertEqual(await self.keys("kind"), ["there"])
        self.assertEqual(await self.numbers(), [])
        self.assertEqual(len(await self.store.changes(version)), 0)

    async def test_of_two_that_expect_the_same_one_is_refused(self) -> None:
        version = await self.store.commit(Put("kind", "key", b"0"))
        await self.store.commit(Put("kind", "key", b"1", expected=version))
        error = await self.refused(Put("kind", "key", b"2", expected=version))
        self.assertEqual(isinstance(error, ConflictError), True)
        found = await self.store.get("kind", "key")
        self.assertEqual(found and found.body, b"1")

    async def test_later_writes_of_a_commit_see_the_earlier(self) -> None:
        await self.store.commit(Put("kind", "a", b"1"), Delete("kind", "a"))
        await self.store.commit(Delete("kind", "b"), Put("kind", "b", b"1"), Put("kind", "b", b"2"))
        self.assertEqual(await self.keys("kind"), ["b"])
        await self.store.commit(Append("log", 1.0, b"1"), Append("log", 1.0, b"2"))
        self.assertEqual([each.body for each in await self.store.records("log")], [b"1", b"2"])

    async def test_deleting_what_is_not_there_is_no_change(self) -> None:
        version = await self.store.commit(Delete("kind", "key"), Put("kind", "other", b""))
        self.assertEqual(
            list(await self.store.changes(0)), [Change(version, "kind", "other", version)]
        )

    async def test_scans_in_the_order_of_code_points(self) -> None:
        keys = ["", "A", "a", "a\0", "aa", "b", "\x7f", "é", "\uffff", "\U00010000"]
        await self.store.commit(*(Put("kind", key, b"") for key in keys[::-1] if key))
        await self.store.commit(Put("other", "c", b""), Put("kin", "c", b""))
        self.assertEqual(await self.keys("kind"), sorted(keys)[1:])

    async def test_scans_part_by_part(self) -> None:
        keys = [f"{i:05}" for i in range(MAX_ITEMS + 5)]
        await self.store.commit(*(Put("kind", key, b"") for key in keys))
        self.assertEqual(await self.keys("kind"), keys[:MAX_ITEMS])
        self.assertEqual(await self.keys("kind", limit=2 * MAX_ITEMS), keys[:MAX_ITEMS])
        self.assertEqual(await self.keys("kind", keys[MAX_ITEMS - 1]), keys[MAX_ITEMS:])
        self.assertEqual(await self.keys("kind", "00001", 2), keys[2:4])
        self.assertEqual(await self.keys("kind", limit=0), [])
        self.assertEqual(await self.keys("kind", limit=-1), [])

    async def test_tells_the_latest_change_of_each_document(self) -> None:
        await self.store.commit(Put("kind", "a", b"1"), Put("kind", "b", b"1"))
        second = await self.store.commit(Put("other", "c", b"1"))
        third = await self.store.commit(Put("kind", "b", b"2"))
        fourth = await self.store.commit(Delete("kind", "a"), Append("log", 1.0, b""))
        expected = [
            Change(second, "other", "c", second),
            Change(third, "kind", "b", third),
            Change(fourth, "kind", "a", 0),
        ]
        self.assertEqual(list(await self.store.changes(0)), expected)
        self.assertEqual(list(await self.store.changes(second)), expected[1:])
        self.assertEqual(list(await self.store.changes(fourth)), [])
        self.assertEqual(list(await self.store.changes(0, 2)), expected[:2])

    async def test_what_was_put_again_is_no_deletion(self) -> None:
        await self.store.commit(Put("kind", "a", b"1"))
        await self.store.commit(Delete("kind", "a"))
        version = await self.store.commit(Put("kind", "a", b"2"))
        self.assertEqual(list(await self.store.changes(0)), [Change(version, "kind", "a", version)])

    async def test_tells_the_changes_of_a_commit_whole(self) -> None:
        first = await self.store.commit(*(Put("kind", str(i), b"") for i in range(5)))
        second = await self.store.commit(Put("kind", "z", b""))
        self.assertEqual({each.sequence for each in await self.store.changes(0, 2)}, {first})
        self.assertEqual(len(await self.store.changes(0, 2)), 5)
        self.assertEqual(
            list(await self.store.changes(first, 2)), [Change(second, "kind", "z", second)]
        )

    async def test_numbers_records_in_each_log(self) -> None:
        await self.store.commit(Append("log", 5.0, b"a"), Append("other", 5.5, b"b"))
        await self.store.commit(Append("log", 4.0, b"c"))
        found = await self.store.records("log")
        self.assertEqual(
            [(each.log, each.number, each.at, each.body) for each in found],
            [("log", 1, 5.0, b"a"), ("log", 2, 4.0, b"c")],
        )
        self.assertEqual(await self.numbers("other"), [1])

    async def test_finds_records_by_number_and_time(self) -> None:
        await self.store.commit(*(Append("log", float(at), b"") for at in (10, 11, 12, 9, 13, 14)))
        for bounds, expected in (
            ({}, [1, 2, 3, 4, 5, 6]),
            ({"after": 2}, [3, 4, 5, 6]),
            ({"before": 3}, [1, 2]),
            ({"after": 2, "before": 5}, [3, 4]),
            ({"since": 12.0}, [3, 5, 6]),
            ({"until": 12.0}, [1, 2, 4]),
            ({"since": 9.5, "until": 13.0}, [1, 2, 3]),
            ({"since": 12.0, "after": 3}, [5, 6]),
            ({"since": 20.0}, []),
            ({"limit": 2}, [1, 2]),
            ({"limit": 0}, []),
            ({"limit": -1}, []),
            ({"is_newest_first": True}, [6, 5, 4, 3, 2, 1]),
            ({"is_newest_first": True, "limit": 2, "before": 5}, [4, 3]),
            ({"is_newest_first": True, "until": 12.0, "limit": 2}, [4, 2]),
            ({"after": 6}, []),
            ({"after": 3, "before": 3}, []),
        ):
            self.assertEqual(await self.numbers(**bounds), expected, bounds)
        self.assertEqual(await self.numbers("other"), [])

    async def test_trims_the_old_and_gives_no_number_twice(self) -> None:
        await self.store.commit(*(Append("log", float(at), b"") for at in (1, 2, 3)))
        await self.store.commit(Append("other", 1.0, b""))
        self.assertEqual(await self.store.trim("log", 3.0), 2)
        self.assertEqual(await self.numbers(), [3])
        self.assertEqual(await self.store.trim("log", 100.0), 1)
        self.assertEqual(await self.numbers("other"), [1])
        await self.store.commit(Append("log", 4.0, b""))
        self.assertEqual(await self.numbers(), [4])

    async def test_says_that_it_is_closed(self) -> None:
        await self.store.commit(Put("kind", "key", b""))
        await self.store.close()
        await self.refused(Put("kind", "key", b"2"))
        for ask in (
            lambda: self.store.get("kind", "key"),
            lambda: self.store.scan("kind"),
            lambda: self.store.changes(0),
            lambda: self.store.records("log"),
            lambda: self.store.trim("log", 1.0),
        ):
            try:
                await ask()
            except StoreError:
                continue
            self.fail("it answered")
