from unittest.mock import patch

from django.core.cache import cache

from pages import leaderboard
from pages.tests.base import PageTestCase
from trade.tests.factories import UserFactory

PATH = "/leaderboard/"


class LeaderboardPageTests(PageTestCase):
    def test_it_shows_names_and_returns_to_everybody_and_no_amount(self) -> None:
        self.tick("20", 10)
        self.place(self.ann, "buy", 10, "20")
        self.tick("25", 0)
        page = self.page(None, PATH)
        self.assertContains(page, "ann")
        self.assertContains(page, "+5.00 %")
        self.assertNotContains(page, "clara")
        for amount in ("1,000", "1000", "1,050", "1050"):
            self.assertNotContains(page, amount)
        self.assert_safe(page)

    def test_it_marks_house_bots_and_who_looks(self) -> None:
        maker = UserFactory(username="maker", cash=10)
        maker.set_unusable_password()
        maker.save()
        page = self.page(self.ann, PATH)
        self.assertContains(page, 'maker <span class="tag">house bot</span>')
        self.assertContains(page, 'ann <span class="tag">you</span>')
        self.assertContains(page, "house bot</span>", count=1)

    def test_who_looks_is_shown_beneath_the_best(self) -> None:
        with patch.object(leaderboard, "LENGTH", 1):
            page = self.page(self.bob, PATH)
        self.assertContains(page, "ann")
        self.assertContains(page, 'bob <span class="tag">you</span>')
        self.assertContains(page, "1 more have a return")

    def test_it_reads_the_tables_once_for_many_visitors(self) -> None:
        self.page(None, PATH)
        with self.assertNumQueries(0):
            self.page(None, PATH)

    def test_the_first_visitor_after_a_while_reads_them_anew(self) -> None:
        self.page(None, PATH)
        UserFactory(username="dora", cash=10)
        self.assertNotContains(self.page(None, PATH), "dora")
        cache.delete(leaderboard._TURN)
        self.assertContains(self.page(None, PATH), "dora")

    def test_a_name_is_text_whatever_it_holds(self) -> None:
        type(self.ann).objects.filter(pk=self.ann.pk).update(username="<script>alert(1)</script>")
        self.assertNotContains(self.page(None, PATH), "<script>alert")

    def test_it_has_words_for_an_empty_market(self) -> None:
        type(self.ann).objects.update(is_active=False)
        self.assertContains(self.page(None, PATH), "Nobody has a return yet")
