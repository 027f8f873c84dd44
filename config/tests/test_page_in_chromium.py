"""The page at `/` in a real browser: it moves, it reconnects, and it asks nobody else for anything."""

from contextlib import ExitStack
from typing import Any

from django.test import SimpleTestCase

from config.testing.servers import find_program, free_port, needs
from config.tests.test_streams_servers import WebProcess, market


@needs("chromium", packages=("playwright",))
class PageInChromiumTests(SimpleTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        from playwright.sync_api import expect, sync_playwright

        cls.market = cls.enterClassContext(market())
        playwright = cls.enterClassContext(sync_playwright())
        cls.browser = playwright.chromium.launch(
            executable_path=find_program("chromium"), args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        cls.addClassCleanup(cls.browser.close)
        expect.set_options(timeout=15_000)
        cls.expect = staticmethod(expect)

    def setUp(self) -> None:
        self.port = free_port()
        self.stack = self.enterContext(ExitStack())
        self.web = self.serve()
        self.page = self.browser.new_page(viewport={"width": 1280, "height": 800})
        self.addCleanup(self.page.close)
        self.trouble: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on("console", self._hear)
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.trouble.append(message.text)

    def serve(self) -> WebProcess:
        web = WebProcess(self.market.environment, "--port", str(self.port))
        self.stack.callback(web.stop)
        web.wait_until_up()
        return web

    def sees_trades(self, count: int) -> None:
        self.expect(self.page.locator("#trades tr")).to_have_count(count)

    def sees_status(self, text: str) -> None:
        self.expect(self.page.locator("#status")).to_have_text(text)

    def test_it_moves_with_the_market_and_heals_after_a_restart(self) -> None:
        self.page.goto(self.web.url)
        self.sees_status("live")
        self.market.trade(2)
        self.sees_trades(2)
        self.expect(self.page.locator("[data-stock-id=ACME] .price")).to_have_text("10.00")
        self.assertEqual((self.trouble, self.hosts), ([], {f"127.0.0.1:{self.port}"}))
        self.web.stop()
        self.sees_status("reconnecting")
        self.market.trade(3)
        self.web = self.serve()
        self.sees_status("live")
        self.sees_trades(5)

    def test_it_fits_a_phone(self) -> None:
        self.page.set_viewport_size({"width": 360, "height": 800})
        self.page.goto(self.web.url)
        self.sees_status("live")
        self.assertLessEqual(self.page.evaluate("document.documentElement.scrollWidth"), 360)
