"""The pages around the trading page in a real browser: each on a desk and on a phone, in both schemes."""

import csv
from pathlib import Path
from typing import Any

from config.testing.servers import needs
from config.tests.chromium import DESKTOP, PHONE, ChromiumTestCase
from config.tests.pages_market import EVIL_NAME, PASSWORD, STAFF, TRADER

PAGES = {
    TRADER: ("portfolio", "orders", "stocks", "stocks/ACME", "leaderboard"),
    STAFF: ("operations", "operations/halt/ACME"),
}
SCREENS: dict[str, tuple[dict[str, int], dict[str, Any]]] = {
    "desktop-dark": (DESKTOP, {"color_scheme": "dark"}),
    "phone-light": (PHONE, {"color_scheme": "light", "has_touch": True, "is_mobile": True}),
}


@needs("chromium", packages=("playwright",))
class PagesInChromiumTests(ChromiumTestCase):
    made_by = "config.tests.pages_market"

    def log_in(self, name: str, path: str) -> None:
        """Come to `path` as somebody who had to log in first."""
        self.page.goto(f"{self.web.url}/log-in/?next=/{path}/")
        self.page.fill("#username", name)
        self.page.fill("#password", PASSWORD)
        self.page.click("main button[type=submit]")
        self.page.wait_for_url(f"{self.web.url}/{path}/")

    def has_drawn(self, chart: str) -> bool:
        """Whether more than one colour was painted in a chart."""
        return self.page.evaluate(
            """(chart) => [...document.querySelectorAll(`${chart} canvas`)].some((canvas) => {
                const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                return new Set(new Uint32Array(data.buffer)).size > 2;
            })""",
            chart,
        )

    def test_each_page_fits_each_screen_and_asks_nobody_else(self) -> None:
        for screen, (viewport, options) in SCREENS.items():
            for name, paths in PAGES.items():
                self.open_browser(viewport, **options)
                self.log_in(name, paths[0])
                for path in paths:
                    with self.subTest(screen=screen, path=path):
                        self.page.goto(f"{self.web.url}/{path}/")
                        self.expect(self.page.locator("main h1")).to_be_visible()
                        width = self.page.evaluate("document.documentElement.scrollWidth")
                        self.assertLessEqual(width, viewport["width"])
                        self.picture(f"{screen}-{path.replace('/', '-')}")
        self.assert_no_trouble()

    def test_a_portfolio_draws_its_curve_and_keeps_up(self) -> None:
        self.log_in(TRADER, "portfolio")
        self.see("#worth .first dd", "1,075.00")
        self.expect(self.page.locator("#equity-legend")).to_contain_text("value 1,075.00, of it cash 890.00")
        self.assertTrue(self.has_drawn("#equity"))
        self.page.evaluate(
            "import('/static/pages/api.js').then((api) => api.post('users/me/deposit/', { amount: 5 }))"
        )
        # As if somebody came back to the page; it would look by itself in a few seconds.
        self.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        self.see("#worth .first dd", "1,080.00")
        self.expect(self.page.locator("#cash tbody tr").first).to_contain_text("+5.00")
        self.expect(self.page.locator("#equity-legend")).to_contain_text("value 1,080.00")
        self.assert_no_trouble()

    def test_an_order_is_explained_from_the_lists(self) -> None:
        self.log_in(TRADER, "orders")
        self.page.keyboard.press("Tab")
        self.expect(self.page.locator(".skip")).to_be_focused()
        self.page.click("#orders tbody tr:first-child >> text=Why")
        self.expect(self.page.locator(".summary")).to_contain_text("waiting for a price of at most 8")
        self.expect(self.page.locator("#life")).to_contain_text(
            "A tick of 100 at 15: 15 is above the limit 8."
        )
        self.page.goto(f"{self.web.url}/#ACME")
        self.page.click("#tab-orders")
        self.page.click("#orders >> text=Why")
        self.expect(self.page.locator(".summary")).to_be_visible()
        self.assert_no_trouble()

    def test_a_stock_shows_a_range_and_gives_it_away_as_csv(self) -> None:
        self.page.goto(f"{self.web.url}/stocks/EVIL/")
        self.expect(self.page.locator("h1")).to_contain_text(EVIL_NAME)
        self.see_count("main img", 0)
        self.assertTrue(self.has_drawn("#history"))
        with self.page.expect_download() as download:
            self.page.click("text=CSV >> nth=1")
        self.assertEqual(download.value.suggested_filename, "EVIL-ticks.csv")
        header, tick = csv.reader(Path(download.value.path()).read_text().splitlines())
        self.assertEqual(dict(zip(header, tick, strict=True))["name"], f"'{EVIL_NAME}")
        self.page.select_option("#interval", "1d")
        self.page.fill("#from_date", "2024-05-07")
        self.page.fill("#to_date", "2024-05-06")
        self.page.click("text=Show")
        self.see("#from_date-error", "from_date is after to_date.")
        self.page.fill("#to_date", "2024-05-08")
        self.page.click("text=Show")
        self.expect(self.page.locator("main")).to_contain_text("No price in this range.")

    def test_staff_halt_a_stock_audit_and_resume(self) -> None:
        self.log_in(STAFF, "operations")
        self.page.click("[aria-label='Halt ACME']")
        self.page.click("main button")
        self.see(".news", "ACME is halted now.")
        self.page.click("text=Run the audit now")
        self.expect(self.page.locator(".rows .holds, .rows .broken").first).to_be_visible()
        self.picture("operations-audit")
        self.page.click("[aria-label='Resume ACME']")
        self.page.click("main button")
        self.see(".news", "ACME is open now.")
        self.assert_no_trouble()
