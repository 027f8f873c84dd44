"""What is said of every order and tick of random sessions is what is stored of them."""

from datetime import timedelta
from random import Random
from typing import Any

from django.db.models import Sum

from stocks.models import Stock, Tick
from stocks.services.ticks import FeedTick
from trade.models import Order, Trade
from trade.selectors.why.words import Fact
from trade.services.order_rules import NewOrder
from trade.tests.base import NOON, make_trader, units
from trade.tests.test_why import WhyTestCase
from users.exceptions import Refusal


class Truth(WhyTestCase):
    """Random sessions: what is said of a tick is what is stored of it."""

    def test_it_says_what_is_so(self) -> None:
        said: set[str] = set()
        for seed in range(6):
            with self.subTest(seed=seed):
                stock_id = f"S{seed}"
                Stock.objects.create(stock_id=stock_id, name=stock_id)
                traders = [make_trader(f"t{seed}-{n}", 900_000, **{stock_id: 5_000}) for n in range(3)]
                Session(self, Random(seed), stock_id, [trader.pk for trader in traders]).run(150)
                for order in Order.objects.filter(stock_id=stock_id):
                    said |= self.check(order)
        self.assertLessEqual(
            {"filled", "spent_by_orders_ahead", "price_too_high", "price_too_low", "late", "halted"}
            | {"waiting_for_stop", "nothing_available"},
            said,
        )

    def check(self, order: Order) -> set[str]:
        facts = self.explain(order, limit=10_000).facts
        side = {"buyer__isnull": False} if order.side == "buy" else {"seller__isnull": False}
        own = {"bid_order": order} if order.side == "buy" else {"ask_order": order}
        trades = Trade.objects.filter(**own)
        told = [fact for fact in facts if fact.kind == "trade"]
        self.assertEqual({fact.numbers["trade_id"] for fact in told}, {trade.pk for trade in trades})
        left = [fact.numbers["left"] for fact in facts if "left" in fact.numbers]
        self.assertEqual(left[-1], order.remaining_quantity, [fact.detail for fact in facts])
        for fact in (fact for fact in facts if fact.kind == "tick"):
            fills = trades.filter(tick_sequence=fact.sequence).exclude(taker_side=order.side)
            filled = fills.aggregate(sum=Sum("quantity"))["sum"] or 0
            verdict = fact.numbers["verdict"]
            self.assertEqual(verdict == "filled", filled > 0, fact)
            self.assertEqual(fact.numbers.get("quantity", 0), filled, fact)
            if verdict == "spent_by_orders_ahead":
                on_side = Trade.objects.filter(
                    stock_id=order.stock_id, tick_sequence=fact.sequence, **side
                ).aggregate(sum=Sum("quantity"))["sum"]
                tick = Tick.objects.get(stock_id=order.stock_id, sequence=fact.sequence)
                self.assertEqual((on_side, fact.numbers["taken_by_others"]), (tick.availability,) * 2, fact)
        self.check_all_ticks(order, facts)
        return {str(fact.numbers["verdict"]) for fact in facts if fact.kind == "tick"}

    def check_all_ticks(self, order: Order, facts: list[Fact]) -> None:
        """Every tick of its life is told of, once."""
        start = facts[1].sequence
        end = (
            order.sequence if not order.remaining_quantity else Stock.objects.get(pk=order.stock_id).sequence
        )
        ticks = Tick.objects.filter(stock_id=order.stock_id, sequence__gt=start, sequence__lte=end).count()
        told = sum(int(fact.numbers.get("count") or 1) for fact in facts if fact.kind == "tick")
        self.assertEqual(told, ticks)


class Session:
    """A market of a few traders who do anything, by the dice."""

    def __init__(self, test: WhyTestCase, rng: Random, stock_id: str, user_ids: list[int]) -> None:
        self.test, self.rng, self.stock_id, self.user_ids = test, rng, stock_id, user_ids
        self.orders: list[Order] = []
        self.clock = NOON

    def run(self, steps: int) -> None:
        self.tick()
        for _ in range(steps):
            way = self.rng.choices(
                [self.tick, self.limit, self.bounded, self.stop, self.change, self.cancel, self.switch],
                [30, 25, 10, 8, 10, 4, 3],
            )[0]
            try:
                way()
            except Refusal:
                continue

    def tick(self) -> None:
        self.clock += timedelta(seconds=1)
        late = timedelta(seconds=self.rng.choice([0, 0, 0, 0, 0, 50]))
        availability = self.rng.choice([0, 3, 10, 25])
        tick = FeedTick(self.stock_id, self.price(), availability, self.clock - late)
        self.test.engine.apply_ticks([tick]).result(0)

    def limit(self) -> None:
        words: dict[str, Any] = {"price": self.price()}
        words |= self.rng.choice([{}, {}, {"time_in_force": "ioc"}, {"post_only": True}])
        words["self_trade_prevention"] = self.rng.choice(
            ["expire_taker", "expire_maker", "expire_both", "decrement"]
        )
        self.place("limit", **words)

    def bounded(self) -> None:
        low, high = sorted((self.price(), self.price()))
        self.place("bounded", lower_bound=low, upper_bound=high)

    def stop(self) -> None:
        self.place("stop_limit", price=self.price(), stop_price=self.price())

    def change(self) -> None:
        if self.orders:
            order = self.rng.choice(self.orders[-12:])
            price = self.price() if order.type != "bounded" and self.rng.random() < 0.7 else None
            quantity = self.rng.randint(1, 30)
            self.test.engine.replace_order(order.pk, order.user_id, price=price, quantity=quantity)

    def cancel(self) -> None:
        if self.orders:
            self.test.engine.cancel_order(self.rng.choice(self.orders[-12:]).pk)

    def switch(self) -> None:
        if self.rng.random() < 0.3:
            self.test.engine.halt(self.stock_id)
        else:
            self.test.engine.resume(self.stock_id)

    def place(self, kind: str, **words: Any) -> None:
        words.setdefault("quantity", self.rng.randint(1, 30))
        side = self.rng.choice(["buy", "sell"])
        order = NewOrder(self.rng.choice(self.user_ids), self.stock_id, side, kind, **words)
        self.orders.append(self.test.engine.place_order(order))

    def price(self) -> int:
        return units(100) + 100 * self.rng.randint(-8, 8)
