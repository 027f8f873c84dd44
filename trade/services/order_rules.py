"""What a stock asks of an order, and what the order then holds. Pure; prices are units.

Each rule that is broken has its own refusal, which names the field.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import ceil
from typing import NoReturn

from trade.money import BASIS_POINTS
from trade.services.refusals import (
    BoundsCrossed,
    InvalidOrder,
    MarketHalted,
    NoReferencePrice,
    NotionalOutOfRange,
    OrderTooLarge,
    PriceOffIncrement,
    PriceOutsideCollar,
    QuantityOffLot,
    QuantityOutOfRange,
)
from users.fields import MAX_MONEY_UNITS, MAX_PRICE_UNITS, MAX_QUANTITY, from_units


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What a user asks for. Prices in units, quantity in whole shares; words as in `trade.models.Order`."""

    user_id: int
    stock_id: str
    side: str
    type: str
    quantity: int
    time_in_force: str = "gtc"
    price: int | None = None
    lower_bound: int | None = None
    upper_bound: int | None = None
    client_order_id: str | None = None
    stop_price: int | None = None
    display_quantity: int | None = None
    post_only: bool = False
    self_trade_prevention: str = "expire_taker"
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StockRules:
    """The rules of one stock, and its last price."""

    price_increment: int
    lot_size: int
    is_halted: bool
    last_price: int | None
    min_quantity: int | None = None
    max_quantity: int | None = None
    min_notional: int | None = None
    max_notional: int | None = None
    price_collar_bps: int | None = None
    maker_fee_bps: int = 0
    taker_fee_bps: int = 0


def check_order(new_order: NewOrder, rules: StockRules, *, collar: Decimal, now: datetime) -> int:
    """The order's limit price. Raises the refusal of the first rule that it breaks.

    `collar` is the fraction around the last price within which a market order trades, when the stock has
    none of its own.
    """
    if rules.is_halted:
        raise MarketHalted(f"{new_order.stock_id} is halted: it takes cancels only")
    check_quantity(new_order.quantity, rules)
    check_terms(new_order, rules, now)
    limit_price = limit_price_of(new_order, rules, collar)
    check_notional(limit_price * new_order.quantity, rules)
    return limit_price


def check_quantity(quantity: int, rules: StockRules) -> None:
    """Whole lots within the stock's range."""
    if not 0 < quantity <= MAX_QUANTITY:
        raise QuantityOffLot(f"a quantity is from 1 to {MAX_QUANTITY}")
    if quantity % rules.lot_size:
        raise QuantityOffLot(f"a quantity is a whole number of lots of {rules.lot_size}")
    if rules.min_quantity is not None and quantity < rules.min_quantity:
        raise QuantityOutOfRange(f"the smallest order is {rules.min_quantity} shares")
    if rules.max_quantity is not None and quantity > rules.max_quantity:
        raise QuantityOutOfRange(f"the largest order is {rules.max_quantity} shares")


def check_notional(value: int, rules: StockRules) -> None:
    """Price times quantity within the stock's range."""
    if value > MAX_MONEY_UNITS:
        raise OrderTooLarge(f"price x quantity may be at most {from_units(MAX_MONEY_UNITS)}")
    if rules.min_notional is not None and value < rules.min_notional:
        raise NotionalOutOfRange(f"price x quantity must be at least {from_units(rules.min_notional)}")
    if rules.max_notional is not None and value > rules.max_notional:
        raise NotionalOutOfRange(f"price x quantity may be at most {from_units(rules.max_notional)}")


def check_terms(new_order: NewOrder, rules: StockRules, now: datetime) -> None:
    """Fields that go together: expiry with gtd, display and post-only with orders that rest."""
    rests = new_order.type in ("limit", "stop_limit") and new_order.time_in_force in ("gtc", "day", "gtd")
    if (new_order.time_in_force == "gtd") != (new_order.expires_at is not None):
        _invalid("expires_at", "goes with time_in_force gtd, and only with it")
    if new_order.expires_at is not None and new_order.expires_at <= now:
        _invalid("expires_at", "must be later than now")
    if new_order.post_only and (not rests or new_order.type != "limit"):
        _invalid("post_only", "is for limit orders that may rest")
    if (new_order.stop_price is not None) != (new_order.type in ("stop", "stop_limit")):
        _invalid("stop_price", "goes with the types stop and stop_limit, and only with them")
    if new_order.display_quantity is not None:
        if not rests:
            _invalid("display_quantity", "is for limit orders that may rest")
        if not 0 < new_order.display_quantity < new_order.quantity:
            _invalid("display_quantity", "is more than 0 and less than the quantity")
        if new_order.display_quantity % rules.lot_size:
            raise QuantityOffLot(f"a whole number of lots of {rules.lot_size}", field="display_quantity")


def limit_price_of(new_order: NewOrder, rules: StockRules, collar: Decimal) -> int:
    """The worst price, in units, at which the order may trade."""
    if new_order.stop_price is not None:
        check_price("stop_price", new_order.stop_price, rules)
    if new_order.type == "market":
        return market_limit_price(new_order.side, rules.last_price, rules, collar)
    if new_order.type == "stop":
        return market_limit_price(new_order.side, new_order.stop_price, rules, collar)
    if new_order.type == "bounded":
        lower = check_price("lower_bound", new_order.lower_bound, rules)
        upper = check_price("upper_bound", new_order.upper_bound, rules)
        if lower > upper:
            raise BoundsCrossed("the lower bound may not be above the upper bound")
        return upper if new_order.side == "buy" else lower
    price = check_price("price", new_order.price, rules)
    check_collar(price, rules)
    return price


def check_price(field: str, price: int | None, rules: StockRules) -> int:
    """The price itself, when it is one that the stock takes."""
    if price is None:
        _invalid(field, "is required")
    if not 0 < price <= MAX_PRICE_UNITS:
        _invalid(field, f"is above 0 and at most {from_units(MAX_PRICE_UNITS)}")
    if price % rules.price_increment:
        raise PriceOffIncrement(
            f"a price is a whole number of increments of {from_units(rules.price_increment).normalize():f}",
            field=field,
        )
    return price


def check_collar(price: int, rules: StockRules) -> None:
    """A limit not farther from the last price than the stock's collar."""
    if rules.price_collar_bps is None or rules.last_price is None:
        return
    if abs(price - rules.last_price) * BASIS_POINTS > rules.last_price * rules.price_collar_bps:
        raise PriceOutsideCollar(
            f"a limit lies within {Decimal(rules.price_collar_bps) / 100:f} % of the last price"
        )


def market_limit_price(side: str, reference: int | None, rules: StockRules, collar: Decimal) -> int:
    """The edge of the collar around `reference`, on an increment inside it."""
    if reference is None:
        raise NoReferencePrice("a market order needs a last price: use a limit order")
    if rules.price_collar_bps is not None:
        collar = Decimal(rules.price_collar_bps) / BASIS_POINTS
    increment = rules.price_increment
    if side == "buy":
        edge = int(reference * (1 + collar)) // increment * increment
        return min(max(edge, increment), MAX_PRICE_UNITS // increment * increment)
    edge = -(-ceil(reference * (1 - collar)) // increment) * increment
    return max(edge, increment)


def _invalid(field: str, rule: str) -> NoReturn:
    raise InvalidOrder(f"{field} {rule}", field=field)
