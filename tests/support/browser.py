"""A real browser: Debian's Chromium without a window, driven by Playwright."""

import atexit
import re
from functools import cache
from types import TracebackType

from playwright.sync_api import Browser as Chromium
from playwright.sync_api import ConsoleMessage, Error, Page, Response, sync_playwright

CHROMIUM = "/usr/bin/chromium"
# As root, in a container, and without asking its maker's servers for anything.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Long enough for a machine that does much else; nothing waits so long that works.
PATIENCE_MS = 20_000
# Said by the browser itself of answers that are errors, and of a server that is away.
_NETWORK = re.compile(r"Failed to load resource|WebSocket connection to \S+ failed|net::ERR_")


@cache
def chromium() -> Chromium:
    """Start it, once for all tests: that takes longer than most of them."""
    playwright = sync_playwright().start()
    atexit.register(playwright.stop)
    return playwright.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS))


class Browser:
    """A browser that nobody has used before, with one page; use it as a context.

    `complaints` are errors and warnings of the page and of its console, and requests to another
    host; `refusals` are the paths and statuses of answers that were errors.
    """

    def __init__(self, *, width: int = 1280, height: int = 860, scheme: str = "light") -> None:
        self.complaints: list[str] = []
        self.refusals: list[tuple[str, int]] = []
        self._hosts: set[str] = set()
        self._context = chromium().new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        self._context.set_default_timeout(PATIENCE_MS)
        self.page = self.open()

    def open(self) -> Page:
        """One more page of the same browser, which shares its cookies."""
        page = self._context.new_page()
        page.on("console", self._said)
        page.on("pageerror", self._failed)
        page.on("response", self._answered)
        return page

    def close(self) -> None:
        """End it."""
        self._context.close()

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not _NETWORK.search(message.text):
            self.complaints.append(message.text)

    def _failed(self, error: Error) -> None:
        self.complaints.append(str(error))

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            path = "/" + response.url.split("/", 3)[3]
            self.refusals.append((path, response.status))

    def __enter__(self) -> "Browser":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
