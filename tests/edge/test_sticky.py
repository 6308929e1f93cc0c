"""Sticky clients: they come back to the backend they had, while it takes requests."""

import re
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from tests.support.authority import issued
from tests.support.edge import OK, Rig, get
from tests.support.secure import secure
from veloflux.core.model.resilience import StickySessions
from veloflux.core.model.tls import ListenerTls
from veloflux.core.model.traffic import Pool, Route, Share

SECRET = b"s" * 32


class Sticky(SynchronousTestCase):
    def rig(self, backends: int = 3, **pool: object) -> Rig:
        settings = {"sticky_sessions": StickySessions(ttl_s=3600.0)} | pool
        rig = Rig(self, backends=backends, pool=settings)
        rig.change(secret=SECRET)
        return rig

    def ask(self, rig: Rig, cookie: bytes = b"") -> tuple[int, bytes, bytes]:
        """One request; which backend got it, the cookie that came back, and what it saw."""
        client = rig.client()
        client.send(get(lines=b"Cookie: %b\r\n" % cookie if cookie else b""))
        for number, backend in enumerate(rig.backends):
            for end in backend.connections:
                if len(end.requests()) > end.taken:
                    end.taken += 1
                    seen = end.received.rpartition(b"GET ")[2]
                    end.send(OK)
                    answer = client.answer()
                    client.close()
                    field = answer.field(b"set-cookie") or b""
                    return number, field.partition(b";")[0], seen
        raise AssertionError("nobody was asked")

    def test_a_client_comes_back(self) -> None:
        rig = self.rig()
        homes = {}
        for _ in range(6):
            number, cookie, _ = self.ask(rig)
            homes[cookie] = number
        self.assertEqual(set(homes.values()), {0, 1, 2})
        for cookie, number in homes.items():
            for _ in range(3):
                again, new, seen = self.ask(rig, b"a=b; " + cookie + b"; c=d")
                self.assertEqual((again, new), (number, b""))
                # It is between the client and us.
                self.assertIn(b"Cookie: a=b; c=d\r\n", seen)
        self.assertEqual(
            {entry["pick_reason"] for entry in rig.entries(6 + 3 * len(homes))[6:]}, {"sticky"}
        )

    def test_the_cookie_is_a_careful_one(self) -> None:
        rig = self.rig(backends=1)
        client = rig.client()
        client.send(get())
        rig.backend.request()
        rig.backend.answer(OK)
        answer = client.answer()
        field = answer.field(b"set-cookie") or b""
        self.assertRegex(
            field,
            rb"^veloflux=[A-Za-z0-9_-]{44}; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax$",
        )
        self.assertNotIn(b"10.0.0.1", field)
        self.assertEqual(answer.field(b"cache-control"), b"private")

    def test_over_tls_it_comes_back_over_tls_alone(self) -> None:
        listener = {"tls": ListenerTls((issued("example.org").model,))}
        rig = Rig(self, pool={"sticky_sessions": StickySessions()}, listener=listener)
        rig.change(secret=SECRET)
        client = secure(rig)
        client.send(get())
        rig.backend.request()
        rig.backend.answer(OK)
        field = client.answer().field(b"set-cookie") or b""
        self.assertIn(b"; HttpOnly; SameSite=Lax; Secure", field)

    def test_a_forged_one_counts_for_nothing(self) -> None:
        rig = self.rig()
        _, cookie, _ = self.ask(rig)
        forged = cookie[:-1] + (b"A" if cookie[-1:] != b"A" else b"B")
        for value in (forged, b"veloflux=", b"veloflux=10.0.0.2:80", cookie + b"A"):
            _, new, _ = self.ask(rig, value)
            self.assertRegex(new, b"^veloflux=.{44}$")

    def test_it_moves_when_its_backend_is_out(self) -> None:
        for change in ({"enabled": False}, {"weight": 0}, "unhealthy", "ejected"):
            rig = self.rig()
            number, cookie, _ = self.ask(rig)
            name = str(rig.backends[number].address)
            if change == "unhealthy":
                rig.service.mark("app", name, healthy=False)
            elif change == "ejected":
                rig.service.eject("app", name, 60.0)
            else:
                pool = rig.snapshot.pools[0]
                members = tuple(
                    replace(each, **change) if str(each.address) == name else each
                    for each in pool.backends
                )
                rig.change(pools=(replace(pool, backends=members),))
            other, new, _ = self.ask(rig, cookie)
            if change == {"weight": 0}:
                # It drains: nobody new, but those who were there.
                self.assertEqual((other, new), (number, b""))
                self.assertNotIn(number, {self.ask(rig)[0] for _ in range(6)})
            else:
                self.assertNotEqual(other, number)
                self.assertEqual(self.ask(rig, new)[:2], (other, b""))

    def test_it_outlives_the_worker(self) -> None:
        """Every worker of the node knows the secret."""
        number, cookie, _ = self.ask(self.rig())
        self.assertEqual(self.ask(self.rig(), cookie)[:2], (number, b""))
        stranger = Rig(self, backends=3, pool={"sticky_sessions": StickySessions()})
        stranger.change(secret=b"another" * 5)
        self.assertNotEqual(self.ask(stranger, cookie)[1], b"")

    def test_it_is_renewed_in_time(self) -> None:
        rig = self.rig()
        number, cookie, _ = self.ask(rig)
        rig.wait(1900.0)
        again, new, _ = self.ask(rig, cookie)
        self.assertEqual(again, number)
        self.assertNotIn(new, (b"", cookie))
        rig.wait(1800.0)
        self.assertEqual(self.ask(rig, new)[0], number)
        self.assertNotEqual(self.ask(rig, cookie)[1], b"")

    def test_another_pools_is_no_use(self) -> None:
        rig = self.rig()
        pool = rig.snapshot.pools[0]
        routes = (
            Route("a", path_prefix="/a", pools=(Share("app"),)),
            Route("b", pools=(Share("other"),)),
        )
        rig.change(pools=(pool, Pool("other", pool.backends, sticky_sessions=StickySessions())))
        rig.change(routes=routes)
        client = rig.client()
        client.send(get(b"/a"))
        backend = next(each for each in rig.backends if each.connections)
        backend.request()
        backend.answer(OK)
        cookie = re.match(rb"[^;]*", client.answer().field(b"set-cookie") or b"")
        assert cookie is not None
        self.assertNotEqual(self.ask(rig, cookie[0])[1], b"")
