"""Settling trades by REST, by the command, in the admin, and by many at once."""

import threading
from contextlib import AbstractContextManager, nullcontext
from io import StringIO
from typing import Any
from unittest import mock

from django.core.management import CommandError, call_command
from django.db import connection
from django.test import TransactionTestCase, override_settings
from django.utils import timezone

from stocks.models import Holding, Stock
from trade.engine import get_engine, reset_engine
from trade.models import Trade
from trade.selectors.audit import run_audit
from trade.services import deferred
from trade.services.order_rules import NewOrder
from trade.services.refusals import TradeSettled
from trade.tests.api_base import MarketApiTestCase, books
from trade.tests.base import make_trader, units
from users.models import CashAccount

THREADS = 6
TRADES = 40
COMMAND = "trade.management.commands.settle_trades.settle_trades"


def in_small_batches(**words: Any) -> int:
    return deferred.settle_trades(**{**words, "limit": 1})


@override_settings(SETTLEMENT="deferred")
class SettlingTestCase(MarketApiTestCase):
    """Ann has cash, Bob has shares; their trades settle later."""

    def setUp(self) -> None:
        super().setUp()
        Stock.objects.update(maker_fee_bps=100, taker_fee_bps=100)

    def trade(self, quantity: int = 10, stock_id: str = "ACME") -> int:
        self.placed(self.bob, "sell", quantity, 10, stock_id=stock_id)
        self.placed(self.ann, "buy", quantity, 10, stock_id=stock_id)
        return Trade.objects.latest("trade_id").pk


class ByRest(SettlingTestCase):
    def test_it_shows_what_is_unsettled_and_then_what_is_free(self) -> None:
        trade_id = self.trade()
        self.assertEqual(
            self.get(self.bob, "users/me/balance/").json(),
            {
                "user_id": self.bob.pk,
                "balance": 1000.0,
                "reserved": 0.0,
                "available": 1000.0,
                "unsettled": 99.0,
                "holdings": {"ACME": 90},
                "unsettled_holdings": {},
            },
        )
        ann = self.get(self.ann, "users/me/balance/").json()
        self.assertEqual((ann["holdings"], ann["unsettled_holdings"]), ({}, {"ACME": 10}))
        (holding,) = self.get(self.ann, "users/me/").json()["stocks"]
        self.assertEqual((holding["total_count"], holding["unsettled_count"]), (0, 10))
        self.assertEqual(holding["average_cost"], 10.0)
        self.assertEqual(self.get(self.bob, "users/me/").json()["unsettled"], 99.0)
        trade = self.get(None, f"trades/{trade_id}/").json()
        self.assertEqual((trade["is_settled"], trade["settlement_timestamp"]), (False, None))

        settled = self.post(self.clara, f"trades/{trade_id}/settle/")
        self.assertEqual(settled.status_code, 200, settled.content)
        self.assertTrue(settled.json()["is_settled"])
        self.assertEqual(settled.json(), self.get(None, f"trades/{trade_id}/").json())
        self.assertGreaterEqual(settled.json()["settlement_timestamp"], settled.json()["execution_timestamp"])
        bob, ann = (self.get(user, "users/me/balance/").json() for user in (self.bob, self.ann))
        self.assertEqual((bob["balance"], bob["unsettled"]), (1099.0, 0.0))
        self.assertEqual((ann["holdings"], ann["unsettled_holdings"]), ({"ACME": 10}, {}))
        lines = self.get(self.bob, "users/me/ledger/").json()["results"]
        self.assertEqual([line["amount"] for line in lines[:2]], [-1.0, 100.0])
        self.assertEqual({line["reference"] for line in lines[:2]}, {f"ACME:{trade['sequence']}"})

    def test_it_refuses_to_spend_or_sell_what_is_unsettled(self) -> None:
        self.trade()
        self.assert_refused(self.order(self.ann, "sell", 1, 10), 400, "insufficient_shares")
        self.assert_refused(self.order(self.bob, "buy", 100, 10), 400, "insufficient_funds")
        response = self.post(self.bob, "users/me/withdraw/", {"amount": 1000.01})
        self.assert_refused(response, 400, "insufficient_funds", "amount")

    def test_it_settles_once(self) -> None:
        trade_id = self.trade()
        self.post(self.clara, f"trades/{trade_id}/settle/")
        before = books()
        self.assert_refused(self.post(self.clara, f"trades/{trade_id}/settle/"), 409, "trade_settled")
        self.assertEqual(books(), before)

    def test_it_is_for_staff(self) -> None:
        trade_id = self.trade()
        before = books()
        self.assert_refused(self.post(None, f"trades/{trade_id}/settle/"), 401, "not_authenticated")
        for user in (self.ann, self.bob):
            self.assert_refused(self.post(user, f"trades/{trade_id}/settle/"), 403, "permission_denied")
        self.assertEqual(books(), before)

    def test_it_knows_no_other_trades(self) -> None:
        for trade_id in ("0", "999", "9" * 19):
            self.assert_refused(self.post(self.clara, f"trades/{trade_id}/settle/"), 404, "not_found")

    def test_it_refuses_a_trade_that_settled_at_the_match(self) -> None:
        reset_engine()
        with override_settings(SETTLEMENT="immediate"):
            trade_id = self.trade()
        self.assert_refused(self.post(self.clara, f"trades/{trade_id}/settle/"), 409, "trade_settled")

    def test_it_says_in_the_order_s_life_that_a_trade_has_not_settled(self) -> None:
        trade_id = self.trade()
        trade = Trade.objects.get(pk=trade_id)
        details = [self.told(self.ann, trade.bid_order_id), self.told(self.bob, trade.ask_order_id)]
        self.assertIn("The shares are not free before the trade settles.", details[0])
        self.assertIn("The money is not free before the trade settles.", details[1])
        self.post(self.clara, f"trades/{trade_id}/settle/")
        self.assertNotIn("settle", self.told(self.ann, trade.bid_order_id))

    def told(self, user: Any, order_id: Any) -> str:
        facts = self.get(user, f"orders/{order_id}/why/").json()["facts"]
        return next(fact["detail"] for fact in facts if fact["kind"] == "trade")


class ByCommand(SettlingTestCase):
    def setUp(self) -> None:
        super().setUp()
        Stock.objects.create(stock_id="BEAN", name="Bean")
        Holding.objects.create(user=self.bob, stock_id="BEAN", quantity=100)

    def settle(self, *arguments: str) -> str:
        out = StringIO()
        call_command("settle_trades", *arguments, stdout=out)
        return out.getvalue()

    def test_it_settles_every_trade_once(self) -> None:
        for stock_id in ("ACME", "BEAN", "ACME"):
            self.trade(stock_id=stock_id)
        with mock.patch(COMMAND, side_effect=in_small_batches):
            self.assertEqual(self.settle(), "3 trades settled.\n")
        self.assertEqual(self.settle(), "0 trades settled.\n")
        self.assertEqual(set(Holding.objects.values_list("unsettled", flat=True)), {0})

    def test_it_takes_some_stocks_and_times(self) -> None:
        self.trade(stock_id="ACME")
        moment = timezone.now().isoformat()
        self.trade(stock_id="BEAN")
        self.trade(stock_id="ACME")
        self.assertEqual(self.settle("--before", moment), "1 trade settled.\n")
        self.assertEqual(self.settle("--stock=BEAN"), "1 trade settled.\n")
        self.assertEqual(self.settle("--stock=BEAN", "--stock=ACME"), "1 trade settled.\n")

    def test_it_refuses_what_it_does_not_understand(self) -> None:
        self.trade()
        with self.assertRaisesMessage(CommandError, "There is no stock NO."):
            self.settle("--stock=ACME", "--stock=NO")
        with self.assertRaisesMessage(CommandError, "--before: "):
            self.settle("--before=yesterday")
        self.assertEqual(Trade.objects.filter(settled_at=None).count(), 1)

    def test_it_goes_on_where_another_run_was_stopped(self) -> None:
        for _ in range(3):
            self.trade()
        calls = iter([in_small_batches, mock.Mock(side_effect=KeyboardInterrupt)])
        with (
            mock.patch(COMMAND, side_effect=lambda **words: next(calls)(**words)),
            self.assertRaises(KeyboardInterrupt),
        ):
            self.settle()
        self.assertEqual(self.settle(), "2 trades settled.\n")


@override_settings(SETTLEMENT="deferred")
class ManyAtOnce(TransactionTestCase):
    """Threads that settle the same trades, one by one and in batches, while the market goes on."""

    def setUp(self) -> None:
        reset_engine()
        self.addCleanup(reset_engine)
        Stock.objects.create(stock_id="ACME", name="Acme")
        self.ann, self.bob = make_trader("ann", 10_000), make_trader("bob", 0, ACME=1_000)
        self.trade(TRADES)
        self.settled: list[int] = []
        self.unexpected: list[str] = []

    def trade(self, count: int) -> None:
        for user, side in ((self.bob, "sell"), (self.ann, "buy")):
            orders = [NewOrder(user.pk, "ACME", side, "limit", 1, price=units(10)) for _ in range(count)]
            get_engine().place_orders(orders)

    def race(self, guard: AbstractContextManager[Any]) -> None:
        trade_ids = list(Trade.objects.order_by("trade_id").values_list("trade_id", flat=True))
        start = threading.Barrier(THREADS)
        threads = [
            threading.Thread(target=self.settle, args=[start, trade_ids, number]) for number in range(THREADS)
        ]
        with guard:
            for thread in threads:
                thread.start()
            self.trade(TRADES)
            for thread in threads:
                thread.join()

    def settle(self, start: threading.Barrier, trade_ids: list[int], number: int) -> None:
        try:
            start.wait()
            if number % 2:
                for _ in range(TRADES):
                    count = deferred.settle_trades(stock_id="ACME", limit=7, now=timezone.now())
                    self.settled += [1] * count
            else:
                for trade_id in trade_ids:
                    self.settle_one(trade_id)
        except Exception as error:
            self.unexpected.append(repr(error))
        finally:
            connection.close()

    def settle_one(self, trade_id: int) -> None:
        try:
            deferred.settle_trade(trade_id=trade_id, now=timezone.now())
            self.settled.append(1)
        except TradeSettled:
            pass

    def finish(self) -> list[str]:
        """Settle the rest; what is wrong then."""
        while count := deferred.settle_trades(stock_id="ACME", now=timezone.now()):
            self.settled += [1] * count
        return [*self.unexpected, *(str(finding) for finding in run_audit() if not finding.holds)]

    def test_it_settles_each_trade_exactly_once(self) -> None:
        self.race(nullcontext())
        self.assertEqual(self.finish(), [])
        self.assertEqual(len(self.settled), 2 * TRADES)
        self.assertEqual(CashAccount.objects.get(user=self.bob).balance, 20 * TRADES)
        self.assertEqual(Holding.objects.get(user=self.ann).quantity, 2 * TRADES)

    def test_it_fails_without_the_guard(self) -> None:
        self.race(mock.patch.object(deferred, "_UNSETTLED", "1 = 1"))
        self.assertTrue(self.unexpected or len(self.settled) != 2 * TRADES)
