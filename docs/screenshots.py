"""Takes the pictures of the dashboard that are in docs/dashboard/: `python -m docs.screenshots`.

All that they show has happened: a daemon has stood before small backends for two minutes, under
load, while one backend died and somebody changed the configuration through the API.
"""

import base64
import contextlib
import http.client
import json
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.support.browser import PATIENCE_MS, Browser
from tests.support.daemon import Daemon

PICTURES = Path(__file__).with_name("dashboard")
PASSWORD = "for the pictures alone"
LOAD_S = 130.0
CLIENTS = 6
# All of 127.0.0.0/8 is this machine.
POOLS = {
    "app": ("127.0.3.11:8090", "127.0.3.12:8090", "127.0.3.13:8090"),
    "checkout": ("127.0.4.21:8090", "127.0.4.22:8090"),
    "canary": ("127.0.5.31:8090",),
}
DIES = "127.0.4.22:8090"
DRAINS = "127.0.3.13:8090"
VIEWS = ("overview", "pools", "routes", "configuration", "audit", "workers", "alerts", "logs")


def configuration() -> dict[str, Any]:
    """A shop, with a canary and a service of its own for the checkout."""
    check = {"interval": "1s", "fall": 2, "rise": 1}
    outliers = {"consecutive_failures": 1000}
    return {
        "workers": 2,
        "admin": {"address": "127.0.0.9:0", "password": PASSWORD},
        "listeners": [{"name": "web", "address": "127.0.0.1:0"}],
        "pools": [
            {
                "name": name,
                "algorithm": "least_conn",
                "health_check": check,
                "outlier_detection": outliers,
                "backends": [
                    {"address": address, "weight": 10, "labels": {"zone": "ab"[n % 2]}}
                    for n, address in enumerate(addresses)
                ],
            }
            for name, addresses in POOLS.items()
        ],
        "routes": [
            {
                "id": "shop",
                "host": "shop.example.org",
                "pools": [{"pool": "app", "weight": 95}, {"pool": "canary", "weight": 5}],
                "compression": {},
            },
            {
                "id": "checkout",
                "host": "shop.example.org",
                "path_prefix": "/checkout",
                "pool": "checkout",
                "rate_limit": {"requests_per_second": 500, "burst": 500},
            },
            {
                "id": "old",
                "host": "old.example.org",
                "redirect": {"to": "https://shop.example.org/", "status": 308},
            },
            {"id": "default", "pool": "app", "security_headers": True},
        ],
        "logging": {"access": None},
    }


@contextlib.contextmanager
def backends() -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """The backends' processes, by address."""
    running = {}
    try:
        for address in (address for pool in POOLS.values() for address in pool):
            host, port = address.split(":")
            options = ["--host", host, "--port", port, "--name", address]
            command = [sys.executable, "-m", "veloflux.demo.backend", *options]
            running[address] = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        yield running
    finally:
        for process in running.values():
            process.kill()
            process.wait()


class Load(threading.Thread):
    """One client: mostly quick requests, some slow, few that fail; more of them in waves."""

    def __init__(self, port: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.is_over = threading.Event()
        self._port = port
        self._luck = random.Random(seed)
        self._seed = seed

    def run(self) -> None:
        client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        began = time.monotonic()
        while not self.is_over.wait(self._luck.expovariate(24)):
            if self._seed > CLIENTS // 2 and (time.monotonic() - began) % 40 > 22:
                continue
            try:
                client.request("GET", self._path(), headers={"Host": "shop.example.org"})
                client.getresponse().read()
            except OSError:
                client.close()
        client.close()

    def _path(self) -> str:
        drawn = self._luck.random()
        if drawn < 0.004:
            return "/fail?status=503"
        if drawn < 0.3:
            return f"/slow?ms={int(self._luck.expovariate(1 / 9)) + 2}"
        return "/checkout/cart" if drawn < 0.5 else "/products"


class Operator:
    """Somebody who changes things through the API."""

    def __init__(self, address: str) -> None:
        self._address = address
        credentials = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {credentials}",
            "Content-Type": "application/json",
        }

    def ask(self, method: str, path: str, body: object = None) -> Any:
        client = http.client.HTTPConnection(self._address, timeout=20)
        with contextlib.closing(client):
            content = None if body is None else json.dumps(body)
            client.request(method, path, content, self._headers)
            response = client.getresponse()
            answer = response.read()
            if response.status >= 400:
                raise SystemExit(f"{method} {path}: {response.status} {answer.decode()}")
            return json.loads(answer) if answer else None

    def identifier(self, address: str) -> str:
        """A backend's id."""
        found = self.ask("GET", "/api/backends")
        return next(each["id"] for each in found if each["address"] == address)


def story(operator: Operator, processes: dict[str, subprocess.Popen[bytes]]) -> None:
    """What happens while the load runs; a pause before each event spreads them over the charts."""
    pause = LOAD_S / 7

    def change(method: str, path: str, body: object = None) -> None:
        time.sleep(pause)
        operator.ask(method, path, body)

    canary = operator.identifier(POOLS["canary"][0])
    change("PUT", f"/api/backends/{canary}", {"weight": 20})
    static = {"id": "static", "host": "*.example.org", "path_prefix": "/static", "pool": "app"}
    change("POST", "/api/routes", {**static, "strip_prefix": True})
    time.sleep(pause)
    processes[DIES].kill()
    change("POST", f"/api/backends/{operator.identifier(DRAINS)}/drain")
    change("POST", "/api/config/rollback", {"revision": 2})
    change("POST", f"/api/backends/{operator.identifier(DRAINS)}/drain")
    time.sleep(pause)


def pictures(browser: Browser, address: str) -> None:
    """One of each view; the overview also dark, and small."""
    page = browser.page
    page.goto(f"http://{address}/")
    page.get_by_label("User name or e-mail").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()

    def take(name: str) -> None:
        page.evaluate("document.fonts.ready")
        page.mouse.move(0, 0)
        page.screenshot(path=PICTURES / f"{name}.png")

    def show(view: str) -> None:
        page.goto(f"http://{address}/#/{view}")
        page.get_by_role("heading", level=1).wait_for()
        expect(page.get_by_label("Loading")).to_have_count(0)

    for view in VIEWS:
        show(view)
        if view == "overview":
            expect(page.locator("[data-figure=rate] b")).to_have_text(re.compile("^[1-9]"))
            page.emulate_media(color_scheme="dark")
            take("overview-dark")
            page.emulate_media(color_scheme="light")
            page.set_viewport_size({"width": 400, "height": 860})
            take("overview-small")
            page.set_viewport_size({"width": 1280, "height": 860})
        if view == "logs":
            expect(page.get_by_role("region", name="Requests").locator("tr")).not_to_have_count(0)
        take(view)
    show("pools")
    page.locator(f"[data-backend='{POOLS['app'][0]}']").get_by_role("button", name="Edit").click()
    page.get_by_label("Weight").fill("25")
    page.get_by_role("button", name="Review").click()
    page.locator(".changes").wait_for()
    take("change")
    show("explain?method=GET&host=shop.example.org&path=/checkout/cart")
    page.get_by_role("list", name="The way of the request").wait_for()
    take("explain")


def main() -> None:
    """Take them all, and make them small."""
    PICTURES.mkdir(exist_ok=True)
    expect.set_options(timeout=PATIENCE_MS)
    with backends() as processes, Daemon(json.dumps(configuration())) as daemon:
        clients = [Load(daemon.port(), seed) for seed in range(CLIENTS)]
        for client in clients:
            client.start()
        story(Operator(daemon.admin), processes)
        with Browser() as browser:
            pictures(browser, daemon.admin)
        for client in clients:
            client.is_over.set()
            client.join()
    taken = sorted(map(str, PICTURES.glob("*.png")))
    subprocess.run(["pngquant", "--force", "--strip", "--ext=.png", *taken], check=True)


if __name__ == "__main__":
    main()
