"""Who pays which fee: the one who came the taker's, the one who waited the maker's. And the audit sees if not."""

from collections.abc import Callable
from decimal import Decimal as D
from unittest import mock

from django.db import transaction

from stocks.models import Stock
from trade.matching import Order, Trade
from trade.models import Trade as StoredTrade
from trade.money import fee_on
from trade.selectors.audit import run_audit
from trade.services import settlement
from trade.tests.base import MarketTestCase, make_trader
from users.models import LedgerEntry

right_fee = settlement.fee_of
right_lines = settlement.cash_lines


def wrong_sides_rate(trade: Trade, order: Order | None) -> int:
    """The maker pays the taker's fee, and the taker the maker's."""
    return right_fee(trade._replace(taker_side=-trade.taker_side), order)


def wrong_sides_fee(trade: Trade, order: Order | None) -> int:
    """Each pays what the other one owes."""
    return right_fee(trade, trade.ask if order is trade.bid else trade.bid) if order else 0


def takers_fee_for_all(trade: Trade, order: Order | None) -> int:
    return fee_on(trade.price * trade.quantity, order.taker_fee_bps) if order else 0


def rounded_up(trade: Trade, order: Order | None) -> int:
    return right_fee(trade, order) + 1 if order else 0


class Fees(MarketTestCase):
    def setUp(self) -> None:
        super().setUp()
        Stock.objects.update(maker_fee_bps=10, taker_fee_bps=25)
        self.ann, self.bob = make_trader("ann", 10_000, ACME=100), make_trader("bob", 10_000, ACME=100)

    def buyer_comes(self) -> None:
        self.place(self.ann, "sell", 10, "10")
        self.place(self.bob, "buy", 10, "10")

    def seller_comes(self) -> None:
        self.place(self.ann, "buy", 10, "10")
        self.place(self.bob, "sell", 10, "10")

    def feed_comes(self) -> None:
        self.place(self.ann, "buy", 10, "10")
        self.place(self.bob, "sell", 10, "10.01")
        self.tick("10", 10)
        self.tick("10.01", 10)

    def feed_waits(self) -> None:
        self.tick("10", 10)
        self.place(self.ann, "buy", 10, "10")
        self.place(self.bob, "sell", 10, "10")

    WAYS = (buyer_comes, seller_comes, feed_comes, feed_waits)

    def fees(self) -> dict[str, list[D]]:
        """What the ledger says that each has paid."""
        entries = LedgerEntry.objects.filter(kind="fee").order_by("id")
        return {
            user.username: [-entry.amount for entry in entries if entry.account_id == user.pk]
            for user in (self.ann, self.bob)
        }

    def broken_after(self, way: Callable[..., None]) -> set[str]:
        """The promises that are broken after trading in this way; then all is undone."""
        with transaction.atomic():
            way(self)
            self.assertGreater(StoredTrade.objects.count(), 0)
            found = {finding.name for finding in run_audit() if not finding.holds}
            transaction.set_rollback(True)
        self.engine._matching.books.drop("ACME")
        return found

    def test_it_charges_the_taker_more_whatever_its_side(self) -> None:
        maker, taker = D("0.1"), D("0.25")
        self.buyer_comes()
        self.assertEqual(self.fees(), {"ann": [maker], "bob": [taker]})
        self.seller_comes()
        self.assertEqual(self.fees(), {"ann": [maker] * 2, "bob": [taker] * 2})
        self.feed_comes()
        self.assertEqual(self.fees(), {"ann": [maker] * 3, "bob": [taker, taker, D("0.1001")]})
        self.feed_waits()
        self.assertEqual((self.fees()["ann"][-1], self.fees()["bob"][-1]), (taker, taker))

    def test_every_planted_fault_is_found(self) -> None:
        for fault in (wrong_sides_rate, wrong_sides_fee, takers_fee_for_all, rounded_up):
            found = {way.__name__: set[str]() for way in self.WAYS}
            with mock.patch.object(settlement, "fee_of", fault):
                for way in self.WAYS:
                    found[way.__name__] = self.broken_after(way)
            with self.subTest(fault=fault.__name__):
                self.assertIn("trade_fees", found["buyer_comes"])
                self.assertIn("trade_fees", found["seller_comes"])
                self.assertEqual(set().union(*found.values()), {"trade_fees"})

    def test_a_fee_that_is_not_booked_is_found(self) -> None:
        def without_fee(user_id: int, reference: str, value: int, fee: int) -> list[object]:
            return list(right_lines(user_id, reference, value, 0))

        with mock.patch.object(settlement, "cash_lines", without_fee):
            self.assertIn("cash_fee_lines", self.broken_after(Fees.buyer_comes))

    def test_without_a_fault_nothing_is_found(self) -> None:
        for way in self.WAYS:
            with self.subTest(way=way.__name__):
                self.assertEqual(self.broken_after(way), set())
