"""What tests of pages start from: a market with Ann, Bob and Clara of the staff, each with a browser."""

from django.http import HttpResponse
from django.test import Client

from trade.tests.base import MarketTestCase
from trade.tests.factories import StaffFactory, UserFactory
from users.models import User
from users.tests.base import forget_everything


class PageTestCase(MarketTestCase):
    def setUp(self) -> None:
        super().setUp()
        forget_everything()
        self.ann = UserFactory(username="ann", cash=1_000)
        self.bob = UserFactory(username="bob", cash=1_000, shares={"ACME": 100})
        self.clara = StaffFactory(username="clara")

    def client_of(self, user: User | None) -> Client:
        client = Client()
        if user is not None:
            client.force_login(user)
        return client

    def page(self, user: User | None, path: str) -> HttpResponse:
        return self.client_of(user).get(path)

    def assert_asks_to_log_in(self, path: str) -> None:
        self.assertRedirects(self.page(None, path), f"/log-in/?next={path}")

    def assert_safe(self, page: HttpResponse) -> None:
        """No inline script or style, a policy that says so, and nothing kept by a cache."""
        text = page.content.decode()
        for inline in (r"style=", r"<style", r"<script(?![^>]*\ssrc=)", r"\son\w+="):
            self.assertNotRegex(text, inline)
        self.assertIn("default-src 'none'", page["Content-Security-Policy"])
        self.assertIn("no-store", page["Cache-Control"])
