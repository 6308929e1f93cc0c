"""A node's state leaves as one document, and comes back."""

import copy
import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from tests.control.api.case import ADA, PASSWORD, ApiTestCase, bearer
from tests.control.api.client import Api, basic
from veloflux.control.services.configuration.shared import checksum
from veloflux.control.store.store import StoreError, Write

CREATE, RESTORE = "/api/backup/create", "/api/backup/restore"
ROUTE = {
    "id": "secret",
    "pool": "app",
    "host": "s.example",
    "request_headers": {"set": {"Authorization": "Bearer hush"}},
}


def sealed(document: Any) -> Any:
    """It, with the checksum that it should have."""
    content = {name: value for name, value in document.items() if name != "checksum"}
    return {**content, "checksum": checksum(content)}


class BackupTests(ApiTestCase):
    def setUp(self) -> None:
        self.api = Api().begin()

    def filled(self) -> tuple[Any, str]:
        """A backup of a node with a route, an operator, and her key; and the key."""
        self.ask(201, "POST", "/api/routes", ROUTE)
        self.add(role="operator")
        key = self.ask(201, "POST", "/api/auth/keys", {"name": "ci"}, self.ada())["key"]
        return self.ask(200, "POST", CREATE), key

    def kept(self) -> list[Any]:
        """All that backups are about, as it is in the store, and the revision."""
        scanned: list[Any] = []
        for kind in ("user", "user-name", "user-roster", "api-key", "api-key-of"):
            documents = self.successResultOf(self._scan(kind))
            scanned += [(each.kind, each.key, each.version, each.body) for each in documents]
        return [*scanned, self.api.configuration.current().number]

    def _scan(self, kind: str) -> Any:
        return Deferred.fromCoroutine(self.api.store.scan(kind))

    def test_comes_back_on_another_node(self) -> None:
        backup, key = self.filled()
        config = self.api.document()
        self.api = Api().begin()
        found = self.ask(200, "POST", RESTORE, backup)
        self.assertEqual((found["revision"], found["dry_run"]), (2, False))
        self.assertIn("user ada@example.org added", found["changes"])
        self.assertEqual(self.api.document(), config)
        self.login()
        self.ask(200, "GET", "/api/users", None, bearer(key))
        same = self.ask(200, "POST", RESTORE, backup)
        self.assertEqual((same["revision"], same["changes"]), (2, []))
        again = self.ask(200, "GET", CREATE)
        for name in ("config", "users"):
            self.assertEqual(again[name], backup[name])
        self.assertEqual([each["id"] for each in again["api_keys"]], [backup["api_keys"][0]["id"]])

    def test_has_whole_values_and_nothing_that_lets_anybody_in(self) -> None:
        self.add(role="viewer", email="b@example.org")
        tokens = self.login(email="b@example.org")
        backup, key = self.filled()
        text = json.dumps(backup)
        self.assertIn("Bearer hush", text)
        for secret in (PASSWORD, key, key[-43:], tokens["refresh_token"][-43:]):
            self.assertNotIn(secret, text)
        self.assertEqual(backup["scope"], ["config", "users", "api_keys"])
        self.assertEqual(
            set(backup) - {*backup["scope"]},
            {"format", "version", "created_at", "node_id", "scope", "revision", "checksum"},
        )
        config = self.ask(200, "POST", f"{CREATE}?scope=config")
        self.assertEqual((config["scope"], "users" in config), (["config"], False))

    def test_is_for_whoever_rules_and_is_audited(self) -> None:
        self.add()
        for method, path in (("GET", CREATE), ("POST", CREATE), ("POST", RESTORE)):
            self.ask(403, method, path, {} if path == RESTORE else None, self.ada())
        self.api.audit.entries.clear()
        self.ask(200, "GET", CREATE)
        self.assertEqual(len(self.api.audit.entries), 1)

    def test_what_is_wrong_is_refused_before_anything_is_written(self) -> None:
        """C5: tampered, of another version or kind, too much. It is one JSON document and no
        archive, so that there are no names, links or ratios to lie about."""
        backup, _ = self.filled()
        before = self.kept()

        def edited(change: Callable[[Any], Any]) -> Any:
            document = copy.deepcopy(backup)
            change(document)
            return sealed(document)

        user = backup["users"][0]
        costly = "$argon2id$v=19$m=4194304,t=2,p=1$" + "A" * 22 + "$" + "A" * 43
        cases = {
            "/checksum": backup | {"revision": 99},
            "/format": edited(lambda d: d.update(format="zip")),
            "/version": edited(lambda d: d.update(version=2, wonders=[])),
            "/wonders": edited(lambda d: d.update(wonders=[])),
            "/scope": edited(lambda d: d.update(scope=["config"])),
            "/api_keys": edited(lambda d: d.pop("api_keys")),
            "/users": edited(lambda d: d.update(users=[user] * 1001)),
            "/users/1/id": edited(lambda d: d["users"].append(user)),
            "/users/0/role": edited(lambda d: d["users"][0].update(role="root")),
            "/users/0/email": edited(lambda d: d["users"][0].update(email="nobody")),
            "/users/0/password_hash": edited(lambda d: d["users"][0].update(password_hash=costly)),
            "/users/0/id": edited(lambda d: d["users"][0].update(id=user["id"] + "\n")),
            "/users/0": edited(lambda d: d["users"][0].update(is_god=True)),
            "/api_keys/0/owner": edited(lambda d: d["api_keys"][0].update(owner="u-" + "0" * 16)),
            "/api_keys/0/permissions": edited(
                lambda d: d["api_keys"][0].update(permissions=["all:all"])
            ),
            "/api_keys/0/expires_at": edited(lambda d: d["api_keys"][0].update(expires_at=9e9)),
            "/config/routes/0/pool": edited(lambda d: d["config"]["routes"][0].update(pool="x")),
            "/config/admin": edited(lambda d: d["config"].update(admin={})),
        }
        for pointer, document in cases.items():
            for query in ("", "?mode=merge", "?dry_run=true"):
                problem = self.ask(400, "POST", RESTORE + query, document)
                self.assertIn(pointer, [each["pointer"] for each in problem["errors"]])
        self.assertEqual(self.kept(), before)

    def test_may_go_through_tools_that_write_numbers_otherwise(self) -> None:
        self.api.clock.advance(0.9)  # with the call's own, a whole second
        self.add(role="operator")
        backup = self.ask(200, "POST", CREATE)
        user = backup["users"][0]
        self.assertEqual(user["created_at"], 1e9 + 1)
        for written in (1_000_000_001, 1e9 + 1):
            self.ask(200, "POST", RESTORE, backup | {"users": [user | {"created_at": written}]})

    def test_a_dry_run_says_what_would_change(self) -> None:
        backup, _ = self.filled()
        self.api = Api().begin()
        before = self.kept()
        trial = self.ask(200, "POST", f"{RESTORE}?dry_run=true", backup)
        self.assertEqual(self.kept(), before)
        self.assertEqual(self.ask(200, "POST", RESTORE, backup)["changes"], trial["changes"])
        self.assertEqual(len(trial["changes"]), 3)

    def test_replaces_or_is_put_beside_what_there_is(self) -> None:
        backup, key = self.filled()
        session = bearer(self.login()["token"])
        self.add(email="b@example.org", role="viewer")
        self.ask(201, "POST", "/api/pools", {"name": "more"})
        self.ask(200, "POST", f"{RESTORE}?mode=merge", backup)
        self.assertEqual(self.ask(200, "GET", "/api/users")["total_count"], 2)
        self.assertEqual(len(self.ask(200, "GET", "/api/pools")), 2)
        self.ask(200, "GET", "/api/users", None, session)  # nothing about her has changed
        self.ask(200, "POST", RESTORE, backup)
        found = self.ask(200, "GET", "/api/users")["items"]
        self.assertEqual([each["email"] for each in found], ["ada@example.org"])
        self.assertEqual(len(self.ask(200, "GET", "/api/pools")), 1)
        self.ask(200, "GET", "/api/users", None, bearer(key))
        self.add(email="b@example.org", role="viewer")  # the address is free again

    def test_ends_the_sign_ins_of_who_is_replaced(self) -> None:
        backup, key = self.filled()
        path = f"/api/users/{backup['users'][0]['id']}"
        self.ask(200, "PUT", path, {"password": "another one entirely"})
        session = bearer(self.login(password="another one entirely")["token"])
        self.ask(401, "GET", "/api/users", None, bearer(key))
        self.ask(200, "POST", RESTORE, backup)
        self.ask(401, "GET", "/api/users", None, session)
        self.ask(200, "GET", "/api/users", None, bearer(key))
        self.login()

    def test_brings_nothing_of_a_deleted_user_back_to_life(self) -> None:
        backup, _ = self.filled()
        session = bearer(self.login()["token"])
        self.ask(204, "DELETE", "/api/users/" + self.other_operator(backup))
        self.ask(200, "POST", RESTORE, backup)
        self.ask(401, "GET", "/api/users", None, session)

    def other_operator(self, backup: Any) -> str:
        """Ada's id, who is the last operator no more."""
        self.add(email="c@example.org", role="operator")
        found: str = backup["users"][0]["id"]
        return found

    def test_locks_nobody_out(self) -> None:
        empty = self.ask(200, "GET", CREATE)
        _, key = self.filled()
        self.ask(409, "POST", RESTORE, empty, self.ada())
        self.ask(403, "POST", RESTORE, empty, bearer(key))
        self.assertEqual(self.ask(200, "GET", "/api/users")["total_count"], 1)
        self.assertEqual(self.api.configuration.current().number, 2)
        self.ask(200, "POST", RESTORE, empty)
        self.assertEqual(self.ask(200, "GET", "/api/users")["total_count"], 0)
        self.ask(401, "GET", "/api/users", None, {"Authorization": basic(ADA["email"], PASSWORD)})

    def test_is_all_or_nothing_when_the_store_fails(self) -> None:
        backup, _ = self.filled()
        self.api = Api().begin()
        before = self.kept()

        async def fail(*writes: Write) -> int:
            raise StoreError("no space is left")

        commit, self.api.store.commit = self.api.store.commit, fail  # type: ignore[method-assign]  # the disk is full
        self.ask(503, "POST", RESTORE, backup)
        self.api.store.commit = commit  # type: ignore[method-assign]  # and is not
        self.assertEqual(self.kept(), before)
        self.ask(200, "POST", RESTORE, backup)

    def test_leaves_the_configuration_to_a_file_that_rules(self) -> None:
        backup, key = self.filled()
        same = sealed(backup | {"config": Api().begin().document()})
        self.api = Api()
        self.api.configuration.does_file_rule = True
        self.api.begin()
        self.assertIn("file", self.ask(409, "POST", RESTORE, backup)["detail"])
        self.ask(200, "POST", RESTORE, same)
        self.ask(200, "GET", "/api/users", None, bearer(key))
