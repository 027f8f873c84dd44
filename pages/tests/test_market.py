import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.contrib.staticfiles import finders
from django.test import TestCase

from pages.selectors import watched_stocks
from pages.views import MODULES
from stocks.models import Stock
from stocks.tests.base import feed
from users.tests.base import make_user

STATIC = Path(__file__).parent.parent / "static"
NOW = datetime(2024, 5, 6, 12, 0, tzinfo=UTC)


class WatchedStocksTests(TestCase):
    def test_it_knows_the_days_first_price(self) -> None:
        Stock.objects.create(stock_id="ACME", name="Acme Anvils")
        feed(
            "ACME",
            [(90_000, 1, NOW - timedelta(days=1)), (100_000, 1, NOW), (110_000, 1, NOW + timedelta(hours=1))],
        )
        (stock,) = watched_stocks(NOW + timedelta(hours=2))
        self.assertEqual((stock.day_open, stock.last_price), (10, 11))
        (stock,) = watched_stocks(NOW + timedelta(days=1))
        self.assertIsNone(stock.day_open)


class MarketPageTests(TestCase):
    def test_it_lists_stocks_with_their_prices_and_rules(self) -> None:
        Stock.objects.create(stock_id="ACME", name="Acme Anvils", last_price="12.5", lot_size=5)
        Stock.objects.create(stock_id="BOLT", name="Bolt", status="halted")
        page = self.client.get("/")
        self.assertContains(page, 'data-stock-id="ACME" data-name="Acme Anvils" data-price="12.5')
        self.assertContains(page, 'data-lot="5"')
        self.assertContains(page, 'data-status="halted"')

    def test_it_costs_two_queries_however_many_stocks_there_are(self) -> None:
        for number in range(30):
            Stock.objects.create(stock_id=f"S{number}", name=f"Stock {number}")
        with self.assertNumQueries(2):
            self.client.get("/")

    def test_it_says_so_when_there_is_nothing_to_show(self) -> None:
        self.assertContains(self.client.get("/"), "No stock is listed yet")

    def test_it_lets_who_is_logged_in_trade_and_asks_others_to_log_in(self) -> None:
        self.assertContains(self.client.get("/"), "Log in to trade")
        self.client.force_login(make_user("ann"))
        page = self.client.get("/")
        self.assertNotContains(page, "Log in to trade")
        self.assertContains(page, 'id="submit"')
        self.assertIn("csrftoken", page.cookies)

    def test_it_shows_the_text_of_the_feed_as_text(self) -> None:
        Stock.objects.create(stock_id="EVIL", name='<script>alert("1")</script>')
        page = self.client.get("/")
        self.assertNotContains(page, "<script>alert")
        self.assertContains(page, "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;")

    def test_it_has_no_inline_script_or_style_and_says_so(self) -> None:
        page = self.client.get("/")
        text = page.content.decode()
        self.assertNotIn("style=", text)
        self.assertNotIn("<style", text)
        self.assertNotRegex(text, r"<script(?![^>]*\ssrc=)")
        self.assertNotRegex(text, r"\son\w+=")
        self.assertNotRegex(text, r'(?:src|<link[^>]*href)="(?:https?:)?//')
        policy = page["Content-Security-Policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertIn("connect-src 'self' ws://testserver wss://testserver", policy)
        self.assertNotIn("unsafe", policy)

    def test_it_is_only_read(self) -> None:
        self.assertEqual(self.client.post("/").status_code, 405)
        self.assertEqual(self.client.head("/").status_code, 200)


def imports_of(name: str) -> list[str]:
    """The modules of our own that a module imports, as paths of static files."""
    folder = (STATIC / name).parent
    imports = re.findall(r'from "(\.[^"]+\.js)"', (STATIC / name).read_text())
    return [str((folder / one).resolve().relative_to(STATIC)) for one in imports]


class ScriptTests(TestCase):
    def test_it_preloads_exactly_the_modules_of_the_trading_page(self) -> None:
        found: set[str] = set()
        waiting = ["pages/trading/main.js"]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += imports_of(name)
        self.assertEqual(set(MODULES), found)

    def test_it_never_makes_markup_of_text(self) -> None:
        for path in STATIC.rglob("*.js"):
            self.assertNotRegex(
                path.read_text(), r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", path.name
            )

    def test_it_serves_the_chart_library_with_its_licence_and_links_to_its_makers(self) -> None:
        folder = "pages/vendor/lightweight-charts"
        self.assertIn("Apache License", Path(finders.find(f"{folder}/LICENSE")).read_text())
        notice = Path(finders.find(f"{folder}/NOTICE")).read_text()
        self.assertIn("TradingView", notice)
        page = self.client.get("/")
        self.assertContains(page, 'href="https://www.tradingview.com/"')
        self.assertContains(page, "© TradingView, Inc.")
