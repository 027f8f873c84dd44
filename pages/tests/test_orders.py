from uuid import uuid4

from pages import orders
from pages.tests.base import PageTestCase

PATH = "/orders/"


class OrdersPageTests(PageTestCase):
    def test_it_lists_ones_own_orders_each_with_its_why(self) -> None:
        mine = self.place(self.ann, "buy", 5, "10")
        theirs = self.place(self.bob, "sell", 5, "12")
        page = self.page(self.ann, PATH)
        self.assertContains(page, f'href="/orders/{mine.pk}/"')
        self.assertNotContains(page, str(theirs.pk))
        self.assert_safe(page)

    def test_it_leads_on_to_older_ones(self) -> None:
        for _ in range(orders.LENGTH + 1):
            self.place(self.ann, "buy", 1, "1")
        self.assertContains(self.page(self.ann, PATH), "?page=2")
        self.assertContains(self.page(self.ann, f"{PATH}?page=2"), "Page 2 of 2")

    def test_it_shrugs_at_a_page_that_makes_no_sense(self) -> None:
        for number in ("x", "0", "99", "9" * 18, "9" * 400, "\u0661"):
            self.assertEqual(self.client_of(self.ann).get(PATH, {"page": number}).status_code, 200, number)

    def test_it_is_for_who_is_logged_in(self) -> None:
        self.assert_asks_to_log_in(PATH)
        self.assertContains(self.page(self.ann, PATH), "No order yet")


class WhyPageTests(PageTestCase):
    def path(self, order: object) -> str:
        return f"{PATH}{order}/"

    def test_it_tells_the_life_of_an_order_in_words(self) -> None:
        order = self.place_bounded(self.ann, "buy", 5, "10", "12")
        self.tick("13", 5)
        self.tick("11", 2)
        page = self.page(self.ann, self.path(order.pk))
        for words in ("It bought 2 of 5", "above the upper bound 12", "Bought 2 at 11", "10.00 to 12.00"):
            self.assertContains(page, words)
        self.assertContains(page, 'data-refresh="5"')
        self.assert_safe(page)

    def test_what_is_over_is_not_asked_for_again(self) -> None:
        self.tick("10", 5)
        order = self.place(self.ann, "buy", 5, "10")
        self.assertContains(self.page(self.ann, self.path(order.pk)), 'data-refresh="0"')

    def test_it_goes_on_where_a_long_story_was_cut(self) -> None:
        order = self.place(self.ann, "buy", 5, "10")
        for number in range(orders.FACTS):
            self.tick("9" if number % 2 else "12", 0)
        page = self.page(self.ann, self.path(order.pk))
        self.assertContains(page, "What happened next")
        story = page.context["story"]
        rest = self.page(self.ann, f"{self.path(order.pk)}?since_sequence={story.next_since}")
        self.assertGreater(rest.context["story"].facts[0].sequence, story.facts[-1].sequence)

    def test_it_is_for_the_owner_and_for_staff(self) -> None:
        order = self.place(self.ann, "buy", 5, "10")
        self.assert_asks_to_log_in(self.path(order.pk))
        for user, status in ((self.ann, 200), (self.bob, 404), (self.clara, 200)):
            self.assertEqual(self.page(user, self.path(order.pk)).status_code, status)

    def test_an_order_that_is_not_there_is_an_unknown_page(self) -> None:
        for name in (uuid4(), "1", "x"):
            self.assertEqual(self.page(self.ann, self.path(name)).status_code, 404)
