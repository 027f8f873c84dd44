"""The trading page in a real browser: people trade on it, it moves, heals, and asks nobody else for anything."""

import json
import re
import urllib.request
from typing import Any, ClassVar

from config.testing.servers import needs
from config.tests.chromium import DESKTOP, PHONE, ChromiumTestCase
from config.tests.page_market import EVIL_NAME, MAKER, PASSWORD


class Maker:
    """A user of the REST API who quotes."""

    def __init__(self, url: str) -> None:
        self.url = url
        answer = self.call("POST", "auth/token/", username=MAKER, password=PASSWORD)
        self.token = answer["token"]

    def call(self, method: str, path: str, **body: Any) -> Any:
        request = urllib.request.Request(
            f"{self.url}/api/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        request.method = method
        if hasattr(self, "token"):
            request.add_header("Authorization", f"Token {self.token}")
        with urllib.request.urlopen(request, timeout=15) as answer:
            return json.load(answer)

    def quote(self, side: str, price: str, quantity: int) -> None:
        self.call("POST", "orders/", stock_id="ACME", side=side, type="limit", price=price, quantity=quantity)

    def leave(self) -> None:
        self.call("DELETE", "orders/")


@needs("chromium", packages=("playwright",))
class PageInChromiumTests(ChromiumTestCase):
    made_by = "config.tests.page_market"
    names: ClassVar[int] = 0

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.maker = Maker(cls.web.url)

    def setUp(self) -> None:
        super().setUp()
        self.maker.leave()

    def open_market(self) -> None:
        self.page.goto(f"{self.web.url}/#ACME")
        self.see("#connection", "live")

    def sign_up(self) -> None:
        type(self).names += 1
        self.page.goto(f"{self.web.url}/sign-up/?next=/%23ACME")
        for name, text in [
            ("username", f"trader-{self.names}"),
            ("email", "trader@example.com"),
            ("password", PASSWORD),
        ]:
            self.page.fill(f"#{name}", text)
        self.page.click("main button[type=submit]")
        self.see("#connection", "live")

    def deposit(self, amount: str) -> None:
        self.page.click("#tab-cash")
        self.page.fill("#amount", amount)
        self.page.click("#cash button[value=deposit]")

    def place(self, side: str, quantity: str, price: str) -> None:
        self.page.check(f"#side-{side}", force=True)
        self.page.fill("#quantity", quantity)
        self.page.fill("#price", price)
        self.page.click("#submit")

    def test_it_serves_a_day_of_trading(self) -> None:
        self.maker.quote("sell", "10.00", 100)
        self.sign_up()
        self.deposit("5000")
        self.see("#available", "5,000.00")
        self.see("#ledger tr td:nth-child(4)", "+5,000.00")
        self.page.fill("#quantity", "10")
        self.page.fill("#price", "10.00")
        self.see("#preview-held", "100.00")
        self.see("#preview-after", "4,900.00")
        self.page.click("#submit")
        self.see("#result", re.compile(r"Bought 10 ACME at 10\.00"))
        self.see("#asks tr:last-child td:nth-child(2)", "90")
        self.see("#trades tr:first-child td:nth-child(3)", "10")
        self.see("#legend", re.compile(r"C 10\.00 .*Vol \d*[1-9]\d*"))
        self.page.click("[data-interval='1h']")
        self.expect(self.page.locator("[data-interval='1h']")).to_have_attribute("aria-pressed", "true")
        self.see("#legend", re.compile(r"C 10\.00 .*Vol \d*[1-9]\d*"))
        self.page.click("#tab-fills")
        self.see("#fills tr", re.compile(r"ACME\s*Buy\s*10\.00\s*10\s*100\.00"))
        self.page.click("#tab-holdings")
        self.see("#holdings tr", re.compile(r"ACME\s*10\s*0\s*10\.0000\s*10\.00\s*100\.00"))
        self.picture("desktop-dark")
        self.assert_no_trouble()

    def test_it_changes_and_cancels_an_order(self) -> None:
        self.sign_up()
        self.deposit("5000")
        self.see("#available", "5,000.00")
        self.page.click("#tab-orders")
        self.place("buy", "20", "9.50")
        self.see("#result", "Order waits: buy 20 ACME.")
        self.see("#orders tr td:nth-child(4)", "9.50")
        self.see("#bids tr:first-child .mine", "20")
        self.see("#reserved", "190.00")
        self.page.click("#orders button:has-text('Edit')")
        self.page.fill("#orders [name=price]", "9.60")
        self.page.fill("#orders [name=quantity]", "30")
        self.page.keyboard.press("Enter")
        self.see("#orders tr td:nth-child(5)", "30")
        self.see("#bids tr:first-child .level", "9.60")
        self.see("#reserved", "288.00")
        self.place("buy", "1", "9.40")
        self.see_count("#orders tr", 2)
        self.page.click("#orders tr:last-child button:has-text('Cancel')")
        self.see("#reserved", "9.40")
        self.page.click("#cancel-all")
        self.see("#reserved", "0.00")
        self.see_count("#orders tr", 0)
        self.assert_no_trouble()

    def test_it_trades_by_keyboard_alone(self) -> None:
        self.maker.quote("sell", "10.00", 5)
        self.sign_up()
        self.deposit("1000")
        self.see("#available", "1,000.00")
        self.page.keyboard.press("Escape")
        for key in ("l", "Enter"):
            self.page.keyboard.press(key)
        self.expect(self.page.locator("#price")).to_have_value("10.00")
        self.expect(self.page.locator("#quantity")).to_be_focused()
        self.page.keyboard.type("5")
        self.page.keyboard.press("Tab")
        self.page.keyboard.press("Shift+ArrowUp")
        self.expect(self.page.locator("#price")).to_have_value("10.10")
        self.page.keyboard.press("Enter")
        self.see("#result", re.compile("Bought 5 ACME"))
        for key in ("Escape", "s"):
            self.page.keyboard.press(key)
        self.see("#submit", "Sell ACME")
        self.expect(self.page.locator("#quantity")).to_be_focused()
        self.assert_no_trouble()

    def test_it_says_at_the_field_what_is_refused(self) -> None:
        self.sign_up()
        self.place("buy", "10", "10.005")
        self.see("#price-error", re.compile("increments of 0.01"))
        self.expect(self.page.locator("#price")).to_be_focused()
        self.place("buy", "10", "10")
        self.see("#ticket .form-error", re.compile("fund"))
        self.expect(self.page.locator("#price")).not_to_have_attribute("aria-invalid", "true")

    def test_it_says_so_when_the_session_is_over(self) -> None:
        self.sign_up()
        self.page.evaluate("import('/static/pages/api.js').then((api) => api.post('auth/logout/', {}))")
        self.see("#connection", "closed: load the page again")

    def test_it_heals_after_the_server_was_restarted(self) -> None:
        self.market.trade(2)
        self.open_market()
        self.expect(self.page.locator("#trades tr")).not_to_have_count(0)
        before = self.page.locator("#trades tr").count()
        self.assert_no_trouble()
        self.web.stop()
        self.see("#connection", "reconnecting")
        self.market.trade(3)
        self.serve()
        self.see("#connection", "live")
        self.see_count("#trades tr", before + 3)
        self.see("#gaps", "1")
        self.see("#healed", "3")

    def test_it_fits_a_phone_without_sideways_scrolling(self) -> None:
        self.open_browser(PHONE, has_touch=True, is_mobile=True, color_scheme="light")
        self.sign_up()
        for tab in ("stocks", "chart", "book", "trade", "account"):
            self.page.click(f"#phone-tabs [data-tab={tab}]")
            self.expect(self.page.locator(f"[data-panel~={tab}]").first).to_be_visible()
            self.assertLessEqual(self.page.evaluate("document.documentElement.scrollWidth"), 380, tab)
            self.picture(f"phone-light-{tab}")
        self.assert_no_trouble()

    def test_it_shows_a_name_as_text_whatever_it_holds(self) -> None:
        self.open_market()
        self.see("[data-stock-id=EVIL] .stock-name", EVIL_NAME)
        self.page.click("[data-stock-id=EVIL]")
        self.see("#stock-name", EVIL_NAME)
        self.page.click("[data-stock-id=ACME]")
        self.see("#connection", "live")
        self.see_count("main img", 0)
        self.assert_no_trouble()

    def test_it_is_ready_soon_after_a_cold_start(self) -> None:
        self.open_browser(DESKTOP, color_scheme="light")
        answer = self.page.goto(f"{self.web.url}/")
        self.assertIn("default-src 'none'", answer.headers["content-security-policy"])
        self.see("#connection", "live")
        self.picture("desktop-light")
        ready_ms = self.page.evaluate("performance.getEntriesByName('interactive')[0].startTime")
        print(f"The page was interactive after {ready_ms:.0f} ms from a cold start.")
        self.assert_no_trouble()
