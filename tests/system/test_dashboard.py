"""The dashboard in a real browser, before a real daemon."""

import base64
import contextlib
import http.client
import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.support.browser import PATIENCE_MS, Browser
from tests.support.case import SystemTestCase, ask, settings
from tests.support.daemon import Daemon

PASSWORD = "correct horse battery"
VIEWS = (
    "overview", "pools", "routes", "explain", "configuration", "audit", "workers", "alerts", "logs",
)  # fmt: skip

expect.set_options(timeout=PATIENCE_MS)


def free_port(host: str) -> int:
    """A port that nobody listens at, now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


class DashboardTestCase(SystemTestCase):
    """A daemon before two backends, and a browser; the page complains of nothing."""

    def setUp(self) -> None:
        self.backends = [self.backend("one"), self.backend("two")]
        self.addresses = [f"127.0.0.1:{backend.port}" for backend in self.backends]
        self.browser = Browser()
        self.addCleanup(self.browser.close)
        self.page = self.browser.page

    def tearDown(self) -> None:
        self.assertEqual(self.browser.complaints, [])

    def start(self, **changes: Any) -> Daemon:
        admin = {"address": "127.0.0.9:0", "password": PASSWORD} | changes.pop("admin", {})
        return self.daemon(settings(*self.addresses, admin=admin, **changes))

    def sign_in(self, page: Page, password: str = PASSWORD) -> None:
        page.get_by_label("User name or e-mail").fill("admin")
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()

    def enter(self, daemon: Daemon, view: str = "overview") -> None:
        """Go to a view and sign in on the way."""
        self.page.goto(f"http://{daemon.admin}/#/{view}")
        self.sign_in(self.page)
        expect(self.page.get_by_role("heading", level=1)).to_have_text(view.capitalize())

    def go(self, view: str) -> None:
        self.page.get_by_role("link", name=view.capitalize(), exact=True).click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text(view.capitalize())

    def row(self, address: str) -> Locator:
        return self.page.locator(f"[data-backend='{address}']")

    def figure(self, name: str) -> Locator:
        return self.page.locator(f"[data-figure={name}] b")

    @contextlib.contextmanager
    def traffic(self, daemon: Daemon) -> Iterator[None]:
        """Ask all the time, within the block."""
        is_over = threading.Event()

        def ask() -> None:
            while not is_over.wait(0.01):
                self.get(daemon.port())

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        try:
            yield
        finally:
            is_over.set()
            asking.join()


class SigningIn(DashboardTestCase):
    """Who may see it."""

    def test_says_that_a_password_is_wrong_and_when_to_try_again(self) -> None:
        daemon = self.start()
        self.page.goto(f"http://{daemon.admin}/")
        self.sign_in(self.page, "wrong")
        told = self.page.get_by_role("alert")
        expect(told).to_have_text("This name and this password do not belong together.")
        for _ in range(6):
            if "Too many" in told.inner_text():
                break
            with self.page.expect_response("**/api/auth/login"):
                self.sign_in(self.page, "wrong")
            expect(self.page.get_by_role("button", name="Sign in")).to_be_enabled()
        expect(told).to_have_text(re.compile(r"Too many tries\. Try again in \d+ \w+\."))

    def test_outlives_a_reload(self) -> None:
        daemon = self.start()
        self.enter(daemon, "pools")
        self.page.reload()
        expect(self.row(self.addresses[0])).to_be_visible()
        self.assertEqual(self.page.evaluate("document.cookie"), "")

    def test_asks_again_in_the_same_place_when_the_session_has_ended(self) -> None:
        daemon = self.start()
        self.enter(daemon, "routes")
        self.page.get_by_role("button", name="Add route").click()
        self.page.get_by_label("Host").fill("kept.example.org")
        other = self.browser.open()
        other.goto(f"http://{daemon.admin}/#/pools")
        other.get_by_role("button", name="Sign out").click()
        expect(other.get_by_role("heading", name="Sign in to VeloFlux")).to_be_visible()
        again = self.page.get_by_role("dialog", name="Sign in again")
        expect(again).to_be_visible()
        again.get_by_label("Password").fill(PASSWORD)
        again.get_by_role("button", name="Sign in").click()
        expect(again).to_be_hidden()
        expect(self.page.get_by_label("Host")).to_have_value("kept.example.org")


class Watching(DashboardTestCase):
    """What it shows, and keeps showing."""

    def test_shows_numbers_that_move_and_a_history_that_stays(self) -> None:
        daemon = self.start()
        self.enter(daemon)
        expect(self.figure("backends")).to_have_text("0")
        with self.traffic(daemon):
            expect(self.figure("rate")).to_have_text(re.compile(r"^[1-9]"))
            expect(self.figure("p95")).to_have_text(re.compile(r"^\d.* ms$"))
            before = self.figure("rate").inner_text()
            expect(self.figure("rate")).not_to_have_text(before)
            chart = self.page.get_by_role("figure").filter(has_text="Requests per second")
            expect(chart).to_have_attribute("aria-label", re.compile(r"requests/s [1-9]"))
        self.page.reload()
        expect(chart).to_have_attribute("aria-label", re.compile(r"requests/s \d"))

    def test_shows_what_is_not_known_as_such(self) -> None:
        daemon = self.start()
        self.enter(daemon)
        expect(self.figure("connections")).to_have_text("0")
        expect(self.figure("p95")).to_have_text("—")
        expect(self.figure("errors")).to_have_text("—")

    def test_finds_a_lost_server_again_by_itself(self) -> None:
        admin = {"address": f"127.0.0.9:{free_port('127.0.0.9')}"}
        kept = os.path.abspath(self.mktemp())
        daemon = self.start(admin=admin, data_dir=kept)
        self.enter(daemon, "workers")
        process = self.page.locator("tbody code").first
        before = process.inner_text()
        daemon.close()
        expect(self.page.get_by_text("The server does not answer.")).to_be_visible()
        # What was known is still there.
        expect(process).to_have_text(before)
        self.start(admin=admin, data_dir=kept)
        expect(self.page.get_by_text("The server does not answer.")).to_be_hidden()
        expect(process).not_to_have_text(before)

    def test_explains_a_request(self) -> None:
        daemon = self.start(route={"host": "shop.example.org"})
        self.enter(daemon, "explain")
        self.page.get_by_label("Host").fill("shop.example.org")
        self.page.get_by_label("Path").fill("/cart")
        self.page.get_by_role("button", name="Explain").click()
        way = self.page.get_by_role("list", name="The way of the request")
        for word in ("GET /cart", "shop.example.org", *self.addresses):
            expect(way).to_contain_text(word)
        expect(way.get_by_text("picked")).to_have_count(1)
        self.page.get_by_label("Host").fill("other.example.org")
        self.page.get_by_role("button", name="Explain").click()
        expect(way).to_contain_text("none takes it")
        expect(way).to_contain_text("404")

    def test_tells_of_a_backend_that_fell_ill(self) -> None:
        check = {"interval": "200ms", "fall": 1, "rise": 1}
        daemon = self.start(pool={"health_check": check})
        self.enter(daemon, "pools")
        expect(self.row(self.addresses[0])).to_contain_text("healthy")
        self.backends[0].health = 500
        expect(self.row(self.addresses[0])).to_contain_text("unhealthy")
        self.go("logs")
        self.page.get_by_role("button", name="Daemon").click()
        expect(self.page.get_by_role("list", name="Messages")).to_contain_text(self.addresses[0])

    def test_shows_requests_as_they_end(self) -> None:
        daemon = self.start()
        self.enter(daemon, "logs")
        seen = self.page.get_by_role("region", name="Requests")
        rows = seen.locator("tbody tr")
        expect(seen).to_contain_text("No requests yet")
        self.get(daemon.port(), "/first")
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text(re.compile(rf"200.*GET.*/first.*({'|'.join(self.addresses)})"))
        with self.traffic(daemon):
            # The newest are on top.
            expect(rows.first).not_to_contain_text("/first")
            self.page.get_by_label("Search requests").fill("/first")
            expect(rows).to_have_count(1)
            self.page.get_by_role("button", name="4xx").click()
            expect(seen).to_contain_text("No request is like that")
            self.page.get_by_role("button", name="All").click()
            self.page.get_by_role("button", name="Pause").click()
            self.get(daemon.port(), "/second")
            expect(seen).to_contain_text(re.compile(r"Paused; \d{2,} requests since"))
            self.page.get_by_label("Search requests").fill("/second")
            expect(seen).to_contain_text("No request is like that")
            self.page.get_by_role("button", name="Follow").click()
            expect(rows).to_have_count(1)
            expect(seen).not_to_contain_text("Paused")


class Changing(DashboardTestCase):
    """Changes: seen before they are made, and taken back."""

    def test_drains_a_backend_and_sees_it_empty(self) -> None:
        daemon = self.start(pool={"algorithm": "round_robin"})
        self.enter(daemon, "pools")
        held = [threading.Thread(target=self.get, args=(daemon.port(), "/held")) for _ in range(2)]
        for each in held:
            each.start()
        for backend in self.backends:
            self.addCleanup(backend.release.set)
        one = self.row(self.addresses[0])
        expect(one.locator("[data-label='In flight']")).to_have_text("1")
        one.get_by_role("button", name="Drain").click()
        dialog = self.page.get_by_role("dialog")
        expect(dialog.locator(".changes")).to_contain_text(self.addresses[0])
        dialog.get_by_role("button", name="Drain").click()
        expect(one).to_contain_text("draining")
        asked = self.backends[0].paths["/"]
        for _ in range(4):
            self.get(daemon.port())
        self.assertEqual(self.backends[0].paths["/"], asked)
        for backend in self.backends:
            backend.release.set()
        for each in held:
            each.join()
        expect(one.locator("[data-label='In flight']")).to_have_text("0")
        one.get_by_role("button", name="Enable").click()
        dialog.get_by_role("button", name="Enable").click()
        expect(one).not_to_contain_text("draining")

    def test_applies_a_change_and_rolls_it_back(self) -> None:
        daemon = self.start()
        self.enter(daemon, "pools")
        one = self.row(self.addresses[0])
        weight = one.locator("[data-label=Weight]")
        expect(weight).to_have_text("1")
        one.get_by_role("button", name="Edit").click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_label("Weight").fill("7")
        dialog.get_by_role("button", name="Review").click()
        expect(dialog.locator(".changes")).to_contain_text(re.compile(r"weight.*1.*7"))
        # Seen, and not made.
        expect(weight).to_have_text("1")
        dialog.get_by_role("button", name="Apply").click()
        expect(weight).to_have_text("7")
        self.page.get_by_role("button", name="Roll back").click()
        expect(weight).to_have_text("1")
        self.go("configuration")
        expect(self.page.get_by_role("button", name="Revision 3")).to_be_visible()

    def test_counts_down_a_change_that_is_watched_and_ends_it(self) -> None:
        daemon = self.start()
        self.enter(daemon, "configuration")
        begun = self.ask(daemon, "POST", "/api/config/transactions?reason=try+it")
        path = f"/api/config/transactions/{begun['id']}"
        staged = {"object": "routes", "action": "add", "id": "new", "host": "a.b", "pool": "app"}
        self.ask(daemon, "PUT", f"{path}/changes", {"operations": [staged]})
        card = self.page.get_by_role("region", name="Transactions")
        expect(card).to_contain_text("open")
        self.ask(daemon, "POST", f"{path}/commit", {"watch": "10m"})
        expect(card).to_contain_text("watching")
        expect(card).to_contain_text(re.compile(r"watched for 9 min \d+ s more"))
        expect(self.page.get_by_role("button", name="Revision 2")).to_be_visible()
        card.get_by_role("button", name="Roll back now").click()
        expect(card).to_contain_text("rolled back")
        expect(self.page.get_by_role("button", name="Revision 3")).to_be_visible()

    def ask(self, daemon: Daemon, method: str, path: str, body: object = None) -> Any:
        """Call the API beside the page."""
        credentials = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
        headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body)
        if content is None:
            del headers["Content-Type"]
        address = daemon.admin
        with contextlib.closing(http.client.HTTPConnection(address, timeout=30)) as client:
            status, answer = ask(client, path, method, body=content, headers=headers)
        self.assertLess(status, 300, answer)
        return json.loads(answer)

    def test_says_beside_the_field_what_is_wrong(self) -> None:
        daemon = self.start()
        self.enter(daemon, "pools")
        self.row(self.addresses[0]).get_by_role("button", name="Edit").click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_label("Weight").fill("2000")
        dialog.get_by_role("button", name="Review").click()
        expect(dialog.locator(".wrong")).to_contain_text("1000")
        expect(dialog.get_by_label("Weight")).to_have_attribute("aria-invalid", "true")

    def test_adds_changes_and_deletes_a_route(self) -> None:
        daemon = self.start()
        self.enter(daemon, "routes")
        self.page.get_by_role("button", name="Add route").click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_label("Host").fill("new.example.org")
        dialog.get_by_label("Pool").fill("app")
        dialog.get_by_label("Id").fill("new")
        self.apply(dialog)
        row = self.page.locator("[data-route=new]")
        expect(row).to_contain_text("new.example.org")
        row.get_by_role("button", name="Edit").click()
        dialog.get_by_label("Everything else").fill('{"strip_prefix": true}')
        self.apply(dialog)
        expect(row).to_contain_text("strips prefix")
        row.get_by_role("button", name="Delete").click()
        dialog.get_by_role("button", name="Delete").click()
        expect(row).to_be_hidden()

    def apply(self, dialog: Locator) -> None:
        dialog.get_by_role("button", name="Review").click()
        expect(dialog.locator(".changes")).to_be_visible()
        dialog.get_by_role("button", name="Apply").click()
        expect(dialog).to_be_hidden()


class Anybody(DashboardTestCase):
    """For all people and screens."""

    def test_can_be_used_by_keyboard(self) -> None:
        daemon = self.start()
        self.enter(daemon)
        keyboard = self.page.keyboard
        self.page.reload()
        expect(self.figure("connections")).to_be_visible()
        keyboard.press("Tab")
        expect(self.page.get_by_text("Skip to content")).to_be_focused()
        keyboard.press("Enter")
        expect(self.page.get_by_role("main")).to_be_focused()
        keyboard.type("gp")
        expect(self.page.get_by_role("heading", level=1)).to_have_text("Pools")
        keyboard.press("/")
        expect(self.page.get_by_label("Search backends")).to_be_focused()
        keyboard.type("no such")
        expect(self.row(self.addresses[0])).to_be_hidden()
        keyboard.press("Control+A")
        keyboard.press("Delete")
        keyboard.press("Escape")
        edit = self.row(self.addresses[0]).get_by_role("button", name="Edit")
        edit.focus()
        keyboard.press("Enter")
        expect(self.page.get_by_label("Weight", exact=True)).to_be_focused()
        keyboard.press("Escape")
        expect(self.page.get_by_role("dialog")).to_be_hidden()
        expect(edit).to_be_focused()
        keyboard.press("?")
        expect(self.page.get_by_role("dialog", name="Keyboard")).to_be_visible()

    def test_fits_a_small_screen_and_leads_to_each_view(self) -> None:
        daemon = self.start()
        self.page.set_viewport_size({"width": 400, "height": 800})
        self.enter(daemon)
        for view in VIEWS:
            with self.subTest(view):
                self.page.goto(f"http://{daemon.admin}/#/{view}")
                expect(self.page.get_by_role("heading", level=1)).to_have_text(view.capitalize())
                expect(self.page.get_by_label("Loading")).to_have_count(0)
                width = self.page.evaluate("document.documentElement.scrollWidth")
                self.assertLessEqual(width, 400)

    def test_is_light_or_dark_as_the_system_has_it_or_as_it_is_told(self) -> None:
        daemon = self.start()
        self.enter(daemon)
        ground = "getComputedStyle(document.body).backgroundColor"
        light = self.page.evaluate(ground)
        self.page.emulate_media(color_scheme="dark")
        dark = self.page.evaluate(ground)
        self.assertNotEqual(light, dark)
        self.page.get_by_role("button", name="Colours: system").click()
        self.assertEqual(self.page.evaluate(ground), light)
        self.page.get_by_role("button", name="Colours: light").click()
        self.page.reload()
        expect(self.page.get_by_role("button", name="Colours: dark")).to_be_visible()
        self.assertEqual(self.page.evaluate(ground), dark)
