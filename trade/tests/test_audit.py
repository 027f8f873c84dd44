"""The audit: silent on a market that traded in every way, loud on every kind of planted corruption."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal as D
from io import StringIO
from uuid import UUID

from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import TransactionTestCase, override_settings
from django.utils import timezone

from stocks.models import Holding, Stock, Tick
from trade.engine import reset_engine
from trade.models import Order, Trade
from trade.selectors.audit import CHECKS, Finding, audit_step_by_step, run_audit
from trade.services.deferred import settle_trades
from trade.services.order_rules import NewOrder
from trade.services.reservation import new_order_id, reserve_orders
from trade.tests.base import NOON, MarketTestCase, make_trader, units

# (the check that must see it, what is done). All of it satisfies the constraints of the tables.
ANN = "(SELECT id FROM users_user WHERE username = 'ann')"
CORRUPTIONS = [
    ("cash_balance", f"UPDATE users_ledgerentry SET amount = amount + 1 WHERE account_id = {ANN}"),
    ("cash_balance", f"DELETE FROM users_ledgerentry WHERE account_id = {ANN} AND kind = 'deposit'"),
    ("cash_newest_entry", f"UPDATE users_cashaccount SET balance = balance + 1 WHERE user_id = {ANN}"),
    (
        "cash_running_balance",
        f"UPDATE users_ledgerentry SET balance_after = balance_after + 1 "
        f"WHERE account_id = {ANN} AND kind = 'deposit'",
    ),
    ("cash_trade_lines", "UPDATE users_ledgerentry SET reference = 'ACME:99' WHERE kind = 'trade'"),
    ("cash_trade_lines", "UPDATE users_ledgerentry SET kind = 'fee' WHERE kind = 'trade'"),
    ("cash_fee_lines", "UPDATE trade_trade SET buyer_fee = buyer_fee + 1 WHERE buyer_fee > 0"),
    ("cash_fee_lines", "DELETE FROM users_ledgerentry WHERE kind = 'fee'"),
    (
        "trade_fees",
        "UPDATE trade_trade SET buyer_fee = seller_fee, seller_fee = buyer_fee WHERE source = 'book'",
    ),
    ("trade_fees", "UPDATE trade_trade SET seller_fee = seller_fee + 1 WHERE seller_id IS NOT NULL"),
    ("trade_fees", "UPDATE trade_trade SET buyer_fee = 1 WHERE buyer_id IS NULL"),
    ("cash_unsettled", "UPDATE users_cashaccount SET unsettled = unsettled + 1"),
    ("cash_unsettled", "UPDATE users_cashaccount SET unsettled = 0"),
    ("cash_unsettled", "UPDATE trade_trade SET settled_at = NULL WHERE source = 'book'"),
    ("cash_trade_lines", "UPDATE trade_trade SET settled_at = executed_at"),
    ("cash_fee_lines", "UPDATE trade_trade SET settled_at = executed_at"),
    ("cash_conserved", "UPDATE users_cashaccount SET unsettled = unsettled + 1"),
    ("cash_conserved", f"UPDATE users_cashaccount SET balance = balance + 1 WHERE user_id = {ANN}"),
    ("cash_reserved", f"UPDATE users_cashaccount SET reserved = reserved - 1 WHERE user_id = {ANN}"),
    ("cash_reserved", "UPDATE users_cashaccount SET reserved = 0"),
    (
        "shares_quantity",
        f"UPDATE stocks_holding SET quantity = quantity + CASE WHEN user_id = {ANN} THEN 1 ELSE -1 END "
        f"WHERE quantity > 1 AND reserved < quantity",
    ),
    ("shares_quantity", "UPDATE trade_trade SET settled_at = executed_at"),
    ("shares_unsettled", "UPDATE stocks_holding SET unsettled = unsettled + 1"),
    ("shares_unsettled", "UPDATE trade_trade SET settled_at = executed_at"),
    ("shares_unsettled", "UPDATE stocks_holding SET unsettled = 0, quantity = quantity + unsettled"),
    ("shares_conserved", "UPDATE stocks_holding SET unsettled = unsettled + 1"),
    ("shares_conserved", f"UPDATE stocks_holding SET quantity = quantity + 1 WHERE user_id = {ANN}"),
    ("shares_reserved", "UPDATE stocks_holding SET reserved = reserved - 1 WHERE reserved > 0"),
    ("shares_cost", "UPDATE stocks_holding SET cost = 1 WHERE quantity = 0"),
    ("order_quantity", "UPDATE trade_orderevent SET quantity = quantity - 1 WHERE kind = 'cancelled'"),
    ("order_quantity", "UPDATE trade_order SET quantity = quantity + 1 WHERE status = 'FILLED'"),
    ("order_trades", "UPDATE trade_order SET traded_value = traded_value + 1 WHERE status = 'FILLED'"),
    ("order_trades", "UPDATE trade_trade SET quantity = quantity + 1 WHERE source = 'book'"),
    ("order_status", "UPDATE trade_order SET status = 'PARTIALLY_FILLED' WHERE status = 'ACTIVE'"),
    ("order_status", "UPDATE trade_order SET status = 'CANCELLED' WHERE status = 'FILLED'"),
    ("order_history", "UPDATE trade_order SET sequence = sequence - 1 WHERE status = 'FILLED'"),
    ("order_history", "UPDATE trade_order SET priority = priority + 1 WHERE status = 'ACTIVE'"),
    ("order_history", "UPDATE trade_orderevent SET kind = 'entered' WHERE kind = 'cancelled'"),
    ("trade_limits", "UPDATE trade_trade SET price = price + 1 WHERE source = 'book'"),
    ("trade_limits", "UPDATE trade_trade SET bid_order_id = ask_order_id WHERE source = 'book'"),
    (
        "trade_limits",
        "UPDATE trade_order SET lower_bound = upper_bound WHERE type = 'bounded' AND status = 'FILLED'",
    ),
    (
        "book_not_crossed",
        "UPDATE trade_order SET limit_price = 150000 WHERE side = 'buy' AND type = 'limit' "
        "AND status = 'ACTIVE'",
    ),
    ("book_resting", "UPDATE trade_order SET time_in_force = 'ioc' WHERE status = 'ACTIVE'"),
    ("book_resting", "UPDATE stocks_stock SET quote_price = 10000"),
    ("sequence_unbroken", "DELETE FROM trade_orderevent WHERE kind = 'halted'"),
    (
        "sequence_unbroken",
        "UPDATE stocks_tick SET sequence = (SELECT MAX(sequence) FROM trade_trade) WHERE is_late",
    ),
    ("sequence_last", "UPDATE stocks_stock SET sequence = sequence + 1"),
    ("tick_availability", "UPDATE stocks_tick SET availability = 1"),
    ("tick_price", "UPDATE stocks_tick SET price = price + 1"),
    (
        "tick_price",
        "UPDATE stocks_tick SET is_late = NOT is_late "
        "WHERE sequence = (SELECT MIN(tick_sequence) FROM trade_trade)",
    ),
    ("tick_lateness", "UPDATE stocks_tick SET is_late = NOT is_late WHERE is_late"),
    ("stock_quote", "UPDATE stocks_stock SET quote_ask_quantity = quote_ask_quantity - 1"),
    ("stock_quote", "UPDATE stocks_stock SET quote_bid_quantity = quote_bid_quantity - 1"),
    ("stock_figures", "UPDATE stocks_stock SET tick_count = tick_count + 1"),
    ("stock_figures", "UPDATE stocks_stock SET highest_price = highest_price - 1"),
    ("stock_figures", "UPDATE stocks_stock SET last_tick_at = NULL"),
    ("stock_figures", "UPDATE stocks_stock SET tick_sequence = tick_sequence - 1"),
    ("stock_last_price", "UPDATE stocks_stock SET last_price = last_price + 1"),
    ("stock_last_price", "UPDATE stocks_stock SET trade_sequence = trade_sequence - 1"),
    ("candle_minutes", 'UPDATE stocks_candle SET ticks = ticks + 1 WHERE "interval" = 60'),
    ("candle_minutes", 'DELETE FROM stocks_candle WHERE "interval" = 60'),
    ("candle_minutes", 'UPDATE stocks_candle SET volume = volume + 1 WHERE "interval" = 60'),
    ("candle_minutes", 'UPDATE stocks_candle SET high = high + 1 WHERE "interval" = 60'),
    ("candle_minutes", 'UPDATE stocks_candle SET tick_high = NULL WHERE "interval" = 60'),
    ("candle_edges", 'UPDATE stocks_candle SET "close" = low + high - "close" WHERE "interval" = 60'),
    ("candle_hours", 'UPDATE stocks_candle SET high = high + 1 WHERE "interval" = 3600'),
    ("candle_hours", 'UPDATE stocks_candle SET volume = volume + 1 WHERE "interval" = 3600'),
    ("candle_hours", 'DELETE FROM stocks_candle WHERE "interval" = 3600'),
    ("candle_days", 'UPDATE stocks_candle SET "close" = low + high - "close" WHERE "interval" = 86400'),
    ("candle_days", 'DELETE FROM stocks_candle WHERE "interval" = 86400'),
]


def broken(findings: list[Finding]) -> dict[str, tuple[str, ...]]:
    return {finding.name: finding.offenders for finding in findings if not finding.holds}


@contextmanager
def undone() -> Iterator[None]:
    """Whatever is done inside is rolled back."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def corrupt(sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.rowcount


class AuditTestCase(MarketTestCase):
    def trade_in_every_way(self) -> None:
        self.ann, self.bob = make_trader("ann", 10_000), make_trader("bob", 10_000, ACME=500)
        self.eve = make_trader("eve", 0, ACME=20)
        Stock.objects.update(maker_fee_bps=10, taker_fee_bps=20)
        self._trade_on_the_feed()
        self._trade_in_the_book()
        self._halt()
        self._trade_deferred()
        self.place(self.bob, "sell", 5, "11")
        self.reserve_only(self.ann)

    def _trade_on_the_feed(self) -> None:
        self.place_bounded(self.ann, "buy", 100, "9", "20")
        self.place(self.bob, "sell", 30, "10")
        self.tick("10", 50, at=NOON)
        self.tick("10.5", 70, at=NOON + timedelta(seconds=30))
        self.tick("9.5", 70, at=NOON - timedelta(seconds=61))
        self.tick("12", 1, at=NOON + timedelta(minutes=61))
        self.tick("11", 0, at=NOON + timedelta(days=2))
        self._ticks = 3 * 86_400
        self.place_bounded(self.bob, "sell", 10, "15", "20")

    def _trade_in_the_book(self) -> None:
        self.place(self.bob, "sell", 40, "12")
        self.place(self.eve, "sell", 20, "11.5")
        self.place(self.ann, "buy", 50, "12")
        self.place(self.ann, "buy", 5)
        self.place(self.ann, "buy", 10, "13", time_in_force="ioc")
        self.place(self.bob, "sell", 25, "13")
        self.place(self.ann, "buy", 4, "13")
        self.place(self.ann, "buy", 10, "8", time_in_force="day")
        self.place(self.ann, "buy", 10, "8")
        self.engine.cancel_order(self.place(self.ann, "buy", 7, "9").order_id)
        self.engine.expire_day_orders("ACME")

    def _halt(self) -> None:
        pending = self.reserve_only(self.ann)
        self.engine.halt("ACME")
        self.engine.options = self.engine.options.__class__(
            threads=0, market_order_collar=D("0.1"), orphan_age_s=-1, max_price_ratio=0
        )
        self.engine.sweep_orphans()
        while self.engine.step():
            pass
        self.assertEqual(Order.objects.get(pk=pending).status, "REJECTED")
        self.engine.resume("ACME")

    def _trade_deferred(self) -> None:
        reset_engine()
        with override_settings(SETTLEMENT="deferred"):
            self.place(self.bob, "sell", 5, "12")
            self.place(self.ann, "buy", 9, "12.9")
            self.place(self.bob, "sell", 4, "12.9")
            self.tick("11", 40)
            self.place(self.ann, "buy", 15, "11")
            self.place(self.bob, "sell", 2, "10.9")
        settle_trades(stock_id="ACME", limit=1, now=timezone.now())
        reset_engine()
        unsettled = Trade.objects.filter(settled_at=None)
        self.assertEqual(set(unsettled.values_list("source", flat=True)), {"book", "feed"})

    def reserve_only(self, user: object) -> UUID:
        """What a process leaves that dies between its two commits."""
        now = timezone.now()
        order_id = new_order_id(now)
        new_order = NewOrder(user.pk, "ACME", "buy", "limit", 3, price=units(7))  # type: ignore[attr-defined]
        reserve_orders(orders=[(order_id, new_order)], collar=D("0.1"), now=now)
        return UUID(order_id)


class Auditing(AuditTestCase):
    def test_it_finds_nothing_in_an_empty_market(self) -> None:
        self.assertEqual(broken(run_audit()), {})

    def test_it_finds_nothing_in_a_market_that_traded_in_every_way(self) -> None:
        self.trade_in_every_way()
        findings = run_audit()
        self.assertEqual(broken(findings), {})
        # Otherwise the tests of corruption below would look at nothing.
        self.assertEqual([finding.name for finding in findings if not finding.checked], [])
        self.assertEqual(set(Order.objects.values_list("status", flat=True)), set(Order.Status.values))

    def test_it_sees_every_planted_corruption(self) -> None:
        self.trade_in_every_way()
        for name, sql in CORRUPTIONS:
            with self.subTest(name=name, sql=sql):
                with undone():
                    self.assertGreater(corrupt(sql), 0, "this changes nothing")
                    self.assertIn(name, broken(run_audit()))

    def test_it_has_a_planted_corruption_for_every_check(self) -> None:
        self.assertEqual({name for name, _ in CORRUPTIONS}, {check.name for check in CHECKS})

    def test_it_names_the_row_and_the_numbers(self) -> None:
        self.trade_in_every_way()
        order = Order.objects.filter(status="FILLED").earliest("sequence")
        Order.objects.filter(pk=order.pk).update(traded_value=order.traded_value + 1)
        self.assertEqual(
            broken(run_audit()),
            {"order_trades": (f"order_id={order.pk} quantity_unexplained=0 value_unexplained=10000",)},
        )

    def test_it_names_the_first_offenders_only(self) -> None:
        for number in range(9):
            make_trader(f"trader-{number}", 100, ACME=1)
        Holding.objects.update(quantity=2)
        found = broken(run_audit())
        self.assertEqual((len(found["shares_quantity"]), len(found["shares_conserved"])), (5, 1))


class TheCommand(AuditTestCase):
    def test_it_prints_one_line_per_check_and_succeeds(self) -> None:
        self.trade_in_every_way()
        out = StringIO()
        call_command("audit", stdout=out)
        lines = out.getvalue().splitlines()
        self.assertEqual(len(lines), len(CHECKS) + 1)
        self.assertIn(f"({Trade.objects.count()} trades, 0.", out.getvalue())
        self.assertEqual(lines[-1], "The books are right.")

    def test_it_fails_and_names_the_first_offenders(self) -> None:
        self.trade_in_every_way()
        Stock.objects.update(tick_count=99)
        out = StringIO()
        with self.assertRaisesMessage(CommandError, "1 of the promises are broken.") as caught:
            call_command("audit", quiet=True, stdout=out)
        self.assertEqual(caught.exception.returncode, 1)
        first, second = out.getvalue().splitlines()
        self.assertIn("BROKEN", first)
        self.assertIn("stock_figures: stock_id=ACME tick_count=99 ticks=6", second)


class Snapshot(TransactionTestCase):
    """The audit next to writers."""

    def test_it_sees_one_moment_and_keeps_no_writer_out(self) -> None:
        ann = make_trader("ann", 100)
        findings = audit_step_by_step()
        first = next(findings)
        writer = threading.Thread(target=self.write, args=[ann.pk])
        writer.start()
        writer.join(10)
        self.assertFalse(writer.is_alive(), "the writer waited for the audit")
        # The change is committed, and breaks many promises: but not those of the moment that is looked at.
        self.assertEqual(broken([first, *findings]), {})
        self.assertEqual(set(broken(run_audit())), {"cash_balance", "cash_newest_entry", "cash_conserved"})

    @staticmethod
    def write(user_id: int) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "UPDATE users_cashaccount SET balance = balance + 1 WHERE user_id = %s", [user_id]
                )
        finally:
            connection.close()

    def test_it_leaves_the_connection_as_it_was(self) -> None:
        Stock.objects.create(stock_id="ACME", name="Acme")
        run_audit()
        Tick.objects.create(stock_id="ACME", sequence=1, price=1, availability=1, timestamp=NOON)
        self.assertIn("stock_figures", broken(run_audit()))
        self.assertFalse(connection.in_atomic_block)
