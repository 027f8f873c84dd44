from django.test import TestCase

from stocks.models import Stock


class MarketPageTests(TestCase):
    def test_it_lists_stocks_with_their_prices(self) -> None:
        Stock.objects.create(stock_id="ACME", name="Acme Anvils", last_price="12.5")
        Stock.objects.create(stock_id="BOLT", name="Bolt", status="halted")
        page = self.client.get("/")
        self.assertContains(page, 'data-stock-id="ACME"')
        self.assertContains(page, 'data-price="12.5')
        self.assertContains(page, "Bolt · halted")

    def test_it_costs_one_query_however_many_stocks_there_are(self) -> None:
        for number in range(30):
            Stock.objects.create(stock_id=f"S{number}", name=f"Stock {number}")
        with self.assertNumQueries(1):
            self.client.get("/")

    def test_it_says_so_when_there_is_nothing_to_show(self) -> None:
        self.assertContains(self.client.get("/"), "No stock is listed yet")

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
        self.assertNotRegex(text, r'(?:src|href)="(?:https?:)?//')
        policy = page["Content-Security-Policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertIn("connect-src 'self' ws://testserver wss://testserver", policy)
        self.assertNotIn("unsafe", policy)

    def test_it_is_only_read(self) -> None:
        self.assertEqual(self.client.post("/").status_code, 405)
        self.assertEqual(self.client.head("/").status_code, 200)
