from tests.control.api.case import ADA, PASSWORD, ApiTestCase, bearer


class UserTests(ApiTestCase):
    def test_come_change_and_go(self) -> None:
        answer = self.call("POST", "/api/users", ADA | {"first_name": "Ada"})
        self.assertEqual(answer.status, 201)
        made = answer.json()
        path = f"/api/users/{made['id']}"
        self.assertEqual(answer.headers["location"], path)
        self.assertEqual(
            made,
            {
                "id": made["id"],
                "email": "ada@example.org",
                "role": "admin",
                "first_name": "Ada",
                "last_name": "",
                "enabled": True,
                "created_at": made["created_at"],
                "updated_at": made["created_at"],
            },
        )
        self.assertEqual(self.ask(200, "GET", path), made)
        changed = self.ask(200, "PUT", path, {"role": "viewer"})
        self.assertEqual((changed["role"], changed["first_name"]), ("viewer", "Ada"))
        self.ask(204, "DELETE", path)
        self.ask(404, "GET", path)
        self.ask(404, "DELETE", path)
        self.ask(404, "PUT", path, {"role": "viewer"})

    def test_are_listed_in_parts(self) -> None:
        for name, role in (("c", "viewer"), ("a", "admin"), ("b", "viewer")):
            self.add(email=f"{name}@example.org", role=role)
        found = self.ask(200, "GET", "/api/users?page=2&page_size=2")
        self.assertEqual([each["email"] for each in found["items"]], ["c@example.org"])
        self.assertEqual((found["total_count"], found["has_more"]), (3, False))
        found = self.ask(200, "GET", "/api/users?role=viewer&page_size=1")
        self.assertEqual([each["email"] for each in found["items"]], ["b@example.org"])
        self.assertEqual((found["total_count"], found["has_more"]), (2, True))
        self.assertEqual(self.ask(200, "GET", "/api/users?enabled=false")["items"], [])

    def test_no_answer_has_a_password_or_its_hash(self) -> None:
        made = self.call("POST", "/api/users", ADA)
        path = f"/api/users/{made.json()['id']}"
        for answer in (made, self.call("GET", path), self.call("GET", "/api/users")):
            self.assertNotIn(PASSWORD, answer.body.decode())
            self.assertNotIn("argon2", answer.body.decode())
        self.assertNotIn(PASSWORD, str(self.api.audit.entries))

    def test_what_is_wrong_is_said_all_at_once(self) -> None:
        problem = self.ask(
            400, "POST", "/api/users", ADA | {"email": "x", "password": "short", "last_name": "\0"}
        )
        pointers = [each["pointer"] for each in problem["errors"]]
        self.assertEqual(pointers, ["/email", "/last_name", "/password"])
        for body in ({}, ADA | {"role": "root"}, ADA | {"id": "u-1"}, ADA | {"tenant_id": "x"}):
            self.ask(400, "POST", "/api/users", body)

    def test_an_address_is_one_persons(self) -> None:
        self.add()
        self.ask(409, "POST", "/api/users", ADA | {"email": "ADA@example.org"})

    def test_a_condition_is_kept(self) -> None:
        path = f"/api/users/{self.add()['id']}"
        etag = self.call("GET", path).headers["etag"]
        self.assertEqual(self.call("GET", path, If_None_Match=etag).status, 304)
        self.ask(200, "PUT", path, {"first_name": "A"}, If_Match=etag)
        self.ask(412, "PUT", path, {"first_name": "B"}, If_Match=etag)

    def test_the_last_operator_stays(self) -> None:
        path = f"/api/users/{self.add(role='operator')['id']}"
        for body in ({"role": "admin"}, {"enabled": False}):
            self.ask(409, "PUT", path, body)
        self.ask(409, "DELETE", path)

    def test_nobody_gives_more_than_they_have(self) -> None:
        operator = self.add(email="o@example.org", role="operator")["id"]
        self.add()
        ada = self.ada()
        self.ask(403, "POST", "/api/users", ADA | {"role": "operator", "email": "x@y.z"}, ada)
        self.ask(403, "PUT", f"/api/users/{operator}", {"password": PASSWORD + "!"}, ada)
        self.ask(403, "DELETE", f"/api/users/{operator}", by=ada)
        self.ask(201, "POST", "/api/users", ADA | {"role": "viewer", "email": "x@y.z"}, ada)

    def test_who_may_not_read_or_write_them_is_refused(self) -> None:
        self.add(role="viewer")
        self.ask(403, "GET", "/api/users", by=self.ada())
        self.ask(403, "POST", "/api/users", ADA, self.ada())

    def test_disabling_ends_everything_at_once(self) -> None:
        user_id = self.add()["id"]
        signed = self.login()
        key = self.ask(201, "POST", "/api/auth/keys", {"name": "x"}, self.ada())["key"]
        self.ask(200, "PUT", f"/api/users/{user_id}", {"enabled": False})
        for by in (bearer(signed["token"]), bearer(key), self.ada()):
            self.ask(401, "GET", "/api/profile", by=by)
        body = {"refresh_token": signed["refresh_token"]}
        self.ask(401, "POST", "/api/auth/refresh", body, None)
        self.ask(200, "PUT", f"/api/users/{user_id}", {"enabled": True})
        self.ask(401, "GET", "/api/profile", by=bearer(signed["token"]))
        self.login()
