from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from unittest.mock import patch

from django.db import connection
from django.test.utils import CaptureQueriesContext

from stocks.models import Candle, ShareGrant, Stock
from stocks.services import grant_shares
from stocks.tests.base import feed
from trade.models import Trade
from trade.selectors import equity
from trade.selectors.equity import Curve, equity_curve
from trade.selectors.returns import standings
from trade.selectors.wealth import prices_at, wealth_of
from trade.tests.base import NOON, MarketTestCase, make_trader, units
from users.models import LedgerEntry, User
from users.services import deposit, withdraw

MINUTE = timedelta(minutes=1)
LATER = NOON + timedelta(hours=1)


def stored_at(moment: datetime) -> None:
    """Put the newest trade at `moment`: the engine stamps trades with the clock."""
    newest = Trade.objects.order_by("-trade_id").first()
    assert newest is not None
    Trade.objects.filter(pk=newest.pk).update(executed_at=moment)


class WealthTests(MarketTestCase):
    def test_it_counts_held_cash_and_held_shares_at_the_last_price(self) -> None:
        ann = make_trader("ann", 1000, ACME=10)
        self.tick("20", 0)
        self.place(ann, "buy", 5, "10")
        self.place(ann, "sell", 4, "30")
        wealth = wealth_of(ann.pk)
        self.assertEqual((wealth.balance, wealth.reserved, wealth.available), (1000, 50, 950))
        (position,) = wealth.positions
        self.assertEqual((position.quantity, position.reserved, position.value), (10, 4, 200))
        self.assertEqual(wealth.value, 1200)

    def test_it_knows_what_was_won_with_each_holding(self) -> None:
        ann = make_trader("ann", 1000)
        self.tick("20", 10)
        self.place(ann, "buy", 10, "20")
        self.tick("25", 0)
        wealth = wealth_of(ann.pk)
        self.assertEqual((wealth.positions[0].profit, wealth.shares_profit), (50, 50))
        self.assertEqual(wealth.value, 1050)

    def test_it_counts_what_has_not_settled(self) -> None:
        ann, bob = make_trader("ann", 1000), make_trader("bob", 0, ACME=10)
        with self.settings(SETTLEMENT="deferred"):
            self.place(ann, "buy", 10, "20")
            self.place(bob, "sell", 10, "20")
        bought, sold = wealth_of(ann.pk), wealth_of(bob.pk)
        self.assertEqual((bought.balance, bought.positions[0].unsettled, bought.value), (800, 10, 1000))
        self.assertEqual((sold.balance, sold.unsettled, sold.value), (0, 200, 200))

    def test_a_stock_without_a_price_has_no_value_yet(self) -> None:
        wealth = wealth_of(make_trader("ann", 10, ACME=10).pk)
        self.assertEqual((wealth.positions[0].value, wealth.positions[0].profit), (None, None))
        self.assertEqual(wealth.value, 10)

    def test_a_user_without_an_account_has_nothing(self) -> None:
        self.assertEqual(wealth_of(User.objects.create(username="eve").pk).value, 0)


class PricesTests(MarketTestCase):
    def test_it_takes_the_last_whole_minute_before_or_else_the_first_price_after(self) -> None:
        feed(
            "ACME",
            [
                (100_000, 1, NOON),
                (110_000, 1, NOON + timedelta(seconds=59)),
                (130_000, 1, NOON + 5 * MINUTE),
            ],
        )
        moments = {
            NOON - MINUTE: 100_000,
            NOON + timedelta(seconds=59): 100_000,
            NOON + MINUTE: 110_000,
            NOON + 5 * MINUTE: 110_000,
            NOON + 6 * MINUTE: 130_000,
        }
        found = prices_at(("ACME", at) for at in moments)
        self.assertEqual(found, {("ACME", at): price for at, price in moments.items()})

    def test_it_leaves_out_a_stock_that_never_had_a_price(self) -> None:
        self.assertEqual(prices_at([("ACME", NOON)]), {})

    def test_it_asks_once_for_many_moments(self) -> None:
        feed("ACME", [(100_000, 1, NOON)])
        with self.assertNumQueries(1):
            found = prices_at(("ACME", NOON + number * MINUTE) for number in range(1_000))
        self.assertEqual(len(found), 1_000)


class EquityTests(MarketTestCase):
    def curve(self, user: User, now: datetime = LATER) -> Curve:
        return equity_curve(user.pk, now=now)

    def at(self, curve: Curve, moment: datetime) -> int:
        """The value at the last point that is not after `moment`."""
        return [point.value for point in curve.points if point.at <= moment][-1]

    def test_it_follows_deposits_trades_and_prices(self) -> None:
        ann = make_trader("ann", 1000)
        self.tick("20", 10, at=NOON + 10 * MINUTE)
        self.place(ann, "buy", 10, "20")
        stored_at(NOON + 20 * MINUTE)
        self.tick("30", 0, at=NOON + 30 * MINUTE)
        deposit(user_id=ann.pk, amount=Decimal(500), now=NOON + 40 * MINUTE)
        withdraw(user_id=ann.pk, amount=Decimal(100), now=NOON + 50 * MINUTE)
        # What traded at the clock's own time has a candle there, too.
        Candle.objects.filter(start__gt=LATER).delete()
        curve = self.curve(ann)
        self.assertTrue(curve.is_whole)
        self.assertEqual((curve.points[0].at, curve.points[-1].at), (NOON, LATER))
        steps = {0: 1000, 25: 1000, 35: 1100, 45: 1600, 55: 1500, 60: 1500}
        for minutes, value in steps.items():
            self.assertEqual(self.at(curve, NOON + minutes * MINUTE), units(value), minutes)
        self.assertEqual(curve.points[-1].cash, units(1200))

    def test_it_ends_exactly_at_what_the_user_is_worth(self) -> None:
        ann, bob = make_trader("ann", 1000, ACME=5), make_trader("bob", 500, ACME=50)
        Stock.objects.update(taker_fee_bps=25, maker_fee_bps=10)
        self.tick("12.3456", 7)
        for price in ("11.11", "12.34", "13.33"):
            self.place(bob, "sell", 3, price)
            self.place(ann, "buy", 2, price)
        with self.settings(SETTLEMENT="deferred"):
            self.place(ann, "sell", 1, "11")
            self.place(bob, "buy", 1, "14")
        for user in (ann, bob):
            points = self.curve(user).points
            self.assertEqual(points[-1].value, units(str(wealth_of(user.pk).value)))

    def test_it_comes_back_to_nothing_where_it_began(self) -> None:
        ann, bob = make_trader("ann", 1000), make_trader("bob", 0, ACME=50)
        Stock.objects.update(taker_fee_bps=25, maker_fee_bps=10)
        self.tick("10", 7)
        self.place(bob, "sell", 30, "10")
        self.place(ann, "buy", 20, "10")
        for user in (ann, bob):
            cash, shares, _ = equity._books_now(user.pk)
            movements, _ = equity._movements(user.pk)
            before = equity._Books(LATER, cash, shares)
            (books,) = equity._walk_back(before, movements, [NOON - MINUTE])
            self.assertEqual((books.cash, books.shares), (0, {}))

    def test_it_has_granted_shares_from_their_grant_on(self) -> None:
        ann = make_trader("ann", 100)
        feed("ACME", [(200_000, 1, NOON)])
        grant_shares(user_id=ann.pk, stock_id="ACME", quantity=5, now=NOON + 30 * MINUTE)
        curve = self.curve(ann)
        self.assertEqual(self.at(curve, NOON + 29 * MINUTE), units(100))
        self.assertEqual(self.at(curve, NOON + 31 * MINUTE), units(200))

    def test_it_has_no_point_for_who_never_had_anything(self) -> None:
        self.assertEqual(self.curve(User.objects.create(username="eve")), Curve([], True))

    def test_it_reads_only_the_newest_movements_and_says_so(self) -> None:
        ann = make_trader("ann")
        for minute in range(10):
            deposit(user_id=ann.pk, amount=Decimal(10), now=NOON + minute * MINUTE)
        with patch.object(equity, "MAX_MOVEMENTS", 4):
            curve = self.curve(ann)
        self.assertFalse(curve.is_whole)
        self.assertEqual(curve.points[0].at, NOON + 5 * MINUTE)
        self.assertEqual(curve.points[0].value, units(60))
        self.assertEqual(curve.points[-1].value, units(100))

    def test_its_cost_does_not_grow_with_time(self) -> None:
        ann = make_trader("ann", 100, ACME=5)
        feed("ACME", [(200_000, 1, NOON)])
        for now in (NOON + timedelta(days=1), NOON + timedelta(days=3_000)):
            with CaptureQueriesContext(
                connection,
            ) as queries:
                self.assertEqual(len(self.curve(ann, now).points), equity.MAX_POINTS)
            self.assertLessEqual(len(queries), 7)

    def test_it_has_fewer_points_the_more_stocks_there_are(self) -> None:
        for stocks in (1, 20, 100, 5_000):
            count = len(equity._times(NOON, LATER, stocks=stocks))
            self.assertLessEqual(count * stocks, max(equity.MAX_LOOKUPS, equity.MIN_POINTS * stocks))
            self.assertGreaterEqual(count, equity.MIN_POINTS)


class StandingsTests(MarketTestCase):
    def trader(self, name: str, cash: int = 0, **fields: object) -> User:
        user = make_trader(name, cash)
        User.objects.filter(pk=user.pk).update(password="md5$salt$hash", **fields)
        return user

    def board(self) -> list[tuple[str, Fraction, int | None]]:
        return [(one.username, one.gain, one.rank) for one in standings()]

    def test_it_ranks_by_what_was_made_of_what_was_brought(self) -> None:
        self.tick("10", 1_000)
        ann, bob = self.trader("ann", 1_000), self.trader("bob", 100_000)
        self.place(ann, "buy", 50, "10")
        self.place(bob, "buy", 100, "10")
        self.tick("12", 0)
        self.assertEqual(self.board(), [("ann", Fraction(1, 10), 1), ("bob", Fraction(1, 500), 2)])

    def test_a_deposit_or_a_withdrawal_is_no_profit(self) -> None:
        ann = self.trader("ann", 1_000)
        deposit(user_id=ann.pk, amount=Decimal(500), now=LATER)
        withdraw(user_id=ann.pk, amount=Decimal(200), now=LATER)
        self.assertEqual(self.board(), [("ann", Fraction(0), 1)])

    def test_granted_shares_count_as_brought_at_their_price_then(self) -> None:
        ann = self.trader("ann", 100)
        feed("ACME", [(200_000, 1, NOON), (300_000, 1, NOON + 5 * MINUTE)])
        grant_shares(user_id=ann.pk, stock_id="ACME", quantity=5, now=NOON + 2 * MINUTE)
        self.assertEqual(self.board(), [("ann", Fraction(1, 4), 1)])
        self.assertEqual(ShareGrant.objects.count(), 1)

    def test_equals_share_a_rank(self) -> None:
        for name in ("bob", "Ann", "cleo"):
            self.trader(name, 100)
        self.tick("10", 1_000)
        LedgerEntry.objects.filter(account__user__username="cleo").update(amount=50)
        self.assertEqual(
            [(name, rank) for name, _, rank in self.board()], [("cleo", 1), ("Ann", 2), ("bob", 2)]
        )

    def test_house_bots_are_shown_and_not_ranked(self) -> None:
        self.trader("ann", 100)
        bot = make_trader("maker", 100)
        bot.set_unusable_password()
        bot.save()
        self.assertEqual(self.board(), [("ann", 0, 1), ("maker", 0, None)])

    def test_it_leaves_out_staff_the_deactivated_and_who_brought_nothing(self) -> None:
        self.trader("admin", 100, is_staff=True)
        self.trader("gone", 100, is_active=False)
        self.trader("empty")
        out = self.trader("out", 100)
        withdraw(user_id=out.pk, amount=Decimal(100), now=LATER)
        self.assertEqual(self.board(), [])

    def test_it_costs_as_many_queries_for_many_users_as_for_one(self) -> None:
        feed("ACME", [(200_000, 1, NOON)])
        for number in range(30):
            ann = self.trader(f"user-{number}", 100)
            grant_shares(user_id=ann.pk, stock_id="ACME", quantity=5, now=LATER)
        with self.assertNumQueries(6):
            self.assertEqual(len(standings()), 30)
