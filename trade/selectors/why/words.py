"""Facts and the one-sentence summary, in words. Names no user, and no order but the reader's own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from stocks.selectors import mean
from trade.models import Order, OrderEvent, Trade
from trade.money import hold_of
from trade.selectors.why.life import Kind, Life, Outcome
from trade.selectors.why.steps import (
    ABOVE,
    BELOW,
    EMPTY,
    FILLED,
    HALTED,
    LATE,
    MET,
    SPENT,
    WAITING,
    Step,
    Ticks,
)
from users.fields import from_units, to_units

Number = Decimal | int | str | None

REASONS = {
    "user": "on request",
    "disconnect": "the connection it was placed on has ended",
    "no_liquidity": "nothing more was to be had within its price limit",
    "ioc": "it was immediate-or-cancel, and the rest could not trade at once",
    "fok": "it was fill-or-kill, and not all of it could trade at once",
    "self_trade": "it met an order of its own user",
    "market_halted": "trading was halted",
    "post_only": "it was post-only and would have traded at once",
    "day": "its trading day was over",
    "gtd": "its time was over",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that happened, in words and in numbers."""

    sequence: int
    time: datetime
    kind: str
    detail: str
    numbers: dict[str, Number] = field(default_factory=dict)


def fact_of(step: Step | Ticks, order: Order, outcome: Outcome) -> Fact:
    if isinstance(step, Ticks):
        return _met_tick(step, order, outcome) if step.verdict == MET else _missed_ticks(step, order)
    if isinstance(step.item, Trade):
        return _trade(step, order, step.item)
    assert isinstance(step.item, OrderEvent)
    return _event(step, order, step.item)


def reserved_fact(life: Life) -> Fact:
    """What the order held when it was placed."""
    order, first = life.order, life.first
    quantity = (first and first.quantity) or order.quantity
    limit = to_units((first and first.price) or order.limit_price)
    fee_bps = max(order.maker_fee_bps, order.taker_fee_bps)
    hold = hold_of(order.side, quantity, limit, fee_bps)
    if order.side == Order.Side.SELL:
        detail, amount = f"Held {shares(hold)}.", Decimal(hold)
    else:
        amount = from_units(hold)
        fee = f", {money(from_units(hold - quantity * limit))} of it for fees" if fee_bps else ""
        detail = f"Held {money(amount)} in cash: {quantity} at no more than {money(from_units(limit))}{fee}."
    if first is None:
        detail += " It has not reached the market yet."
    held: Number = amount if order.side == Order.Side.BUY else hold
    return Fact(0, order.created_at, "reserved", detail, {"quantity": quantity, "reserved": held})


# --- Events -----------------------------------------------------------------------------------------


def _event(step: Step, order: Order, event: OrderEvent) -> Fact:
    numbers: dict[str, Number] = {
        name: value
        for name, value in (
            ("quantity", event.quantity),
            ("price", event.price),
            ("replaces", event.replaces),
            ("reason", event.reason or None),
        )
        if value is not None
    }
    if _came_to_rest(step, event):
        numbers |= {"ahead_quantity": event.ahead_quantity, "ahead_orders": event.ahead_orders}
    if event.order_id is not None:
        numbers["left"] = step.after.open_quantity
    detail = _EVENT_WORDS[event.kind](step, order, event)
    return Fact(event.sequence, event.occurred_at, str(event.kind), detail, numbers)


def _came_to_rest(step: Step, event: OrderEvent) -> bool:
    # A changed order keeps the numbers of the place it had: they say nothing of one that never rested again.
    if event.ahead_quantity is None or step.after.is_waiting or step.is_last_move:
        return False
    return event.kind in (Kind.ENTERED, Kind.TRIGGERED) or not _kept_place(step)


def _kept_place(step: Step) -> bool:
    return step.after.limit == step.before.limit and step.after.total <= step.before.total


def _place(step: Step, order: Order, event: OrderEvent) -> str:
    if step.after.is_waiting:
        return f"waits until the price reaches its stop {money(order.stop_price)}"
    if order.type == Order.Type.BOUNDED:
        return f"waits for ticks from {money(order.lower_bound)} to {money(order.upper_bound)}"
    if not _came_to_rest(step, event):
        return "did not rest in the book"
    if not event.ahead_quantity:
        return f"rested in the book, first at {money(event.price)}"
    orders = "1 order" if event.ahead_orders == 1 else f"{event.ahead_orders} orders"
    return f"rested at {money(event.price)} with {shares(event.ahead_quantity)} in {orders} ahead of it"


def _entered(step: Step, order: Order, event: OrderEvent) -> str:
    return f"Entered the market with {shares(event.quantity or 0)}; it {_place(step, order, event)}."


def _triggered(step: Step, order: Order, event: OrderEvent) -> str:
    return f"The price reached its stop {money(order.stop_price)}; it {_place(step, order, event)}."


def _replaced(step: Step, order: Order, event: OrderEvent) -> str:
    terms = f"Changed to {event.quantity} in all at {money(event.price)}"
    if not step.after.open_quantity:
        return f"{terms}: nothing is left open."
    if _kept_place(step):
        return f"{terms}; it kept its place."
    return f"{terms}; it {_place(step, order, event)}."


def _prevented(step: Step, order: Order, event: OrderEvent) -> str:
    return f"Met an order of its own user: {shares(event.quantity or 0)} were kept from trading."


def _reduced(step: Step, order: Order, event: OrderEvent) -> str:
    return f"Gave up {shares(event.quantity or 0)}: {reason_words(event.reason)}."


def _ended(step: Step, order: Order, event: OrderEvent) -> str:
    return f"{event.kind.capitalize()} with {shares(event.quantity or 0)} open: {reason_words(event.reason)}."


def _halted(step: Step, order: Order, event: OrderEvent) -> str:
    return f"Trading in {event.stock_id} was halted."


def _resumed(step: Step, order: Order, event: OrderEvent) -> str:
    return f"Trading in {event.stock_id} went on."


_EVENT_WORDS: dict[str, Callable[[Step, Order, OrderEvent], str]] = {
    Kind.ENTERED: _entered,
    Kind.TRIGGERED: _triggered,
    Kind.REPLACED: _replaced,
    Kind.REDUCED: _reduced,
    Kind.PREVENTED: _prevented,
    Kind.CANCELLED: _ended,
    Kind.EXPIRED: _ended,
    Kind.REJECTED: _ended,
    Kind.HALTED: _halted,
    Kind.RESUMED: _resumed,
}


# --- Trades and ticks -------------------------------------------------------------------------------


def _trade(step: Step, order: Order, trade: Trade) -> Fact:
    is_buy = order.side == Order.Side.BUY
    role = "taker" if trade.taker_side == order.side else "maker"
    fee = trade.buyer_fee if is_buy else trade.seller_fee
    verb = "Bought" if is_buy else "Sold"
    where = "with the feed" if trade.source == Trade.Source.FEED else "in the book"
    cost = f", fee {money(fee)}" if fee else ""
    left = step.after.open_quantity
    detail = f"{verb} {trade.quantity} at {money(trade.price)} {where}, as {role}{cost}; {left} left."
    if trade.settled_at is None:
        detail += f" The {'shares are' if is_buy else 'money is'} not free before the trade settles."
    numbers: dict[str, Number] = {
        "price": trade.price,
        "quantity": trade.quantity,
        "source": trade.source,
        "role": role,
        "fee": fee,
        "left": left,
        "trade_id": trade.trade_id,
    }
    if trade.tick_sequence is not None:
        numbers["tick_sequence"] = trade.tick_sequence
    return Fact(trade.sequence, trade.executed_at, "trade", detail, numbers)


def _met_tick(ticks: Ticks, order: Order, outcome: Outcome) -> Fact:
    tick = ticks.last
    offer = f"A tick of {tick.availability} at {money(from_units(tick.price))}"
    numbers: dict[str, Number] = {
        "verdict": FILLED if outcome.own else SPENT,
        "price": from_units(tick.price),
        "availability": tick.availability,
        "quantity": outcome.own,
        "taken_by_others": outcome.others,
    }
    if outcome.own:
        is_spent = outcome.own + outcome.others == tick.availability
        others = f"; others took {outcome.others}" if outcome.others else ""
        detail = f"{offer} filled {outcome.own}{others}{', and no more was available' if is_spent else ''}."
        numbers["trade_id"] = outcome.trade_id
    else:
        detail = f"{offer}: all of it was taken by orders ahead of this one ({outcome.others})."
    return Fact(tick.sequence, tick.time, "tick", detail, numbers)


def _missed_ticks(ticks: Ticks, order: Order) -> Fact:
    lowest, highest = money(from_units(ticks.lowest)), money(from_units(ticks.highest))
    why = _missed_words(ticks, order)
    numbers: dict[str, Number] = {"verdict": ticks.verdict, "count": ticks.count}
    if ticks.count == 1:
        detail = f"A tick of {ticks.last.availability} at {lowest}: {why}."
        numbers |= {"price": from_units(ticks.lowest), "availability": ticks.last.availability}
    else:
        prices = f"at {lowest}" if lowest == highest else f"between {lowest} and {highest}"
        all_of_them = {ABOVE: "all ", BELOW: "all "}.get(ticks.verdict, "")
        detail = f"{ticks.count} ticks {prices}: {all_of_them}{why}."
        numbers |= {"lowest_price": from_units(ticks.lowest), "highest_price": from_units(ticks.highest)}
    return Fact(ticks.sequence, ticks.last.time, "tick", detail, numbers)


def _missed_words(ticks: Ticks, order: Order) -> str:
    if ticks.verdict in (ABOVE, BELOW):
        return _outside_words(ticks, order)
    return {
        HALTED: "trading was halted",
        LATE: "older than the newest tick before, so kept as history only",
        WAITING: f"the order was waiting for its stop {money(order.stop_price)}",
        EMPTY: "nothing was available",
    }[ticks.verdict]


def _outside_words(ticks: Ticks, order: Order) -> str:
    is_above = ticks.verdict == ABOVE
    if order.upper_bound is not None and order.lower_bound is not None:
        name, bound = ("upper bound", order.upper_bound) if is_above else ("lower bound", order.lower_bound)
    else:
        name, bound = "limit", from_units(ticks.state.limit)
    words = f"{'above' if is_above else 'below'} the {name} {money(bound)}"
    return f"{money(from_units(ticks.lowest))} is {words}" if ticks.count == 1 else words


# --- The summary ------------------------------------------------------------------------------------


def summary_of(order: Order) -> str:
    """What has become of the order, in one sentence."""
    done = _done_words(order)
    if order.status == Order.Status.FILLED:
        return f"{done[0].upper()}{done[1:]}."
    if order.status in (Order.Status.CANCELLED, Order.Status.EXPIRED, Order.Status.REJECTED):
        return f"{order.status.capitalize()} after it {done}: {reason_words(order.reason)}."
    return f"It {done} so far; {_waiting_words(order)}."


def _done_words(order: Order) -> str:
    verb = "bought" if order.side == Order.Side.BUY else "sold"
    if not order.traded_quantity:
        return f"{verb} nothing"
    share = (
        f"all {order.quantity}"
        if order.traded_quantity == order.quantity
        else f"{order.traded_quantity} of {order.quantity}"
    )
    price = mean(order.traded_value, order.traded_quantity)
    return f"{verb} {share} at {money(price)} on average"


def _waiting_words(order: Order) -> str:
    if order.status == Order.Status.PENDING:
        return "it has not reached the market yet"
    rest = f"{order.remaining_quantity} left"
    if order.stock.status == order.stock.Status.HALTED:
        return f"{rest}, while trading in {order.stock_id} is halted"
    if order.is_stopped:
        return f"{rest}, waiting until the price reaches its stop {money(order.stop_price)}"
    if order.type == Order.Type.BOUNDED:
        return f"{rest}, waiting for ticks from {money(order.lower_bound)} to {money(order.upper_bound)}"
    edge = "at most" if order.side == Order.Side.BUY else "at least"
    return f"{rest}, waiting for a price of {edge} {money(order.limit_price)}"


# --- Numbers ----------------------------------------------------------------------------------------


def reason_words(reason: str) -> str:
    return REASONS.get(reason, reason.replace("_", " ") or "no reason is stored")


def shares(quantity: int) -> str:
    return "1 share" if quantity == 1 else f"{quantity} shares"


def money(amount: Decimal | None) -> str:
    """20, 20.10, 20.1234: without decimals, or with two and as many more as it has."""
    if amount is None:
        return "?"
    if amount == amount.to_integral_value():
        return f"{amount:.0f}"
    text = f"{amount:.4f}".rstrip("0")
    return text if len(text.partition(".")[2]) >= 2 else text + "0"
