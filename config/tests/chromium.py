"""A real browser on a web process with a market of its own: what the tests of pages share.

Screenshots are left in the folder `screenshots` of the data folder, to be looked at.
"""

import re
from contextlib import ExitStack
from typing import Any, ClassVar

from django.conf import settings
from django.test import SimpleTestCase

from config.testing.servers import find_program, free_port
from config.tests.web_processes import Market, WebProcess, market

ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 380, "height": 780}
SCREENSHOTS = settings.DATA_DIR / "screenshots"


class ChromiumTestCase(SimpleTestCase):
    """`self.page` is a page in a browser that has never been here. Whoever derives says what it `needs`."""

    # The module that makes what is in the market.
    made_by: ClassVar[str]
    market: ClassVar[Market]
    web: ClassVar[WebProcess]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        from playwright.sync_api import expect, sync_playwright

        cls.market = cls.enterClassContext(market())
        cls.market.run("-m", cls.made_by)
        cls.port = free_port()
        cls.stack = cls.enterClassContext(ExitStack())
        cls.serve()
        playwright = cls.enterClassContext(sync_playwright())
        cls.browser = playwright.chromium.launch(
            executable_path=find_program("chromium"), args=list(ARGUMENTS)
        )
        cls.addClassCleanup(cls.browser.close)
        expect.set_options(timeout=15_000)
        cls.expect = staticmethod(expect)
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)

    @classmethod
    def serve(cls) -> None:
        cls.web = WebProcess(cls.market.environment, "--port", str(cls.port))
        cls.stack.callback(cls.web.stop)
        cls.web.wait_until_up()

    def setUp(self) -> None:
        self.trouble: list[str] = []
        self.hosts: set[str] = set()
        self.open_browser(DESKTOP)

    def open_browser(self, viewport: dict[str, int], **options: Any) -> None:
        """A page in a browser that has never been here."""
        context = self.browser.new_context(viewport=viewport, **options)
        self.addCleanup(context.close)
        self.page = context.new_page()
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on("console", self._hear)
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.trouble.append(message.text)

    def assert_no_trouble(self) -> None:
        """No error in the console, a violated policy included, and nobody else was asked."""
        self.assertEqual((self.trouble, self.hosts), ([], {f"127.0.0.1:{self.port}"}))

    def see(self, selector: str, text: str | re.Pattern[str]) -> None:
        self.expect(self.page.locator(selector)).to_have_text(text)

    def see_count(self, selector: str, count: int) -> None:
        self.expect(self.page.locator(selector)).to_have_count(count)

    def picture(self, name: str) -> None:
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")
