"""What must be true of a market after every command."""

from trade.matching.book import BookSide
from trade.matching.market import Market
from trade.matching.orders import BOUNDED, BUY, LIMIT, SELL, Order


def check(market: Market) -> None:
    """AssertionError, naming the first thing that is wrong."""
    check_not_crossed(market)
    check_quote(market)
    resting = 0
    for side in (BUY, SELL):
        resting += check_side(market.side(side), market.sequence)
        for order in market.bounded(side):
            check_order(order, market.sequence)
            assert order.kind == BOUNDED and order.side == side, f"{order} is in the wrong place"
            assert not order.is_stopped, f"{order} waits in two places"
        resting += len(market.bounded(side))
    resting += check_stops(market)
    assert resting == len(market.orders), f"{len(market.orders)} orders known, {resting} in their places"


def check_not_crossed(market: Market) -> None:
    bid, ask = market.side(BUY).best(), market.side(SELL).best()
    assert bid is None or ask is None or bid.price < ask.price, f"crossed: {bid.price} bid, {ask.price} asked"


def check_quote(market: Market) -> None:
    quote = market.quote
    if quote is None:
        return
    assert 0 <= quote.bid_quantity <= quote.availability, f"the outside buys more than it has: {quote}"
    assert 0 <= quote.ask_quantity <= quote.availability, f"the outside sells more than it has: {quote}"
    assert not (quote.ask_quantity and market.side(BUY).accepts(quote.price)), "a bid missed the outside"
    assert not (quote.bid_quantity and market.side(SELL).accepts(quote.price)), "an ask missed the outside"


def check_side(side: BookSide, sequence: int) -> int:
    """The number of open orders on the side."""
    count = 0
    for level in side.levels():
        orders = [order for order in level.queue if order.open_quantity]
        for order in orders:
            check_order(order, sequence)
            assert (order.kind, order.side, order.limit_price) == (LIMIT, side.side, level.price), (
                f"{order} is in the wrong place"
            )
            assert not order.is_stopped, f"{order} waits in two places"
            check_slice(order)
        priorities = [order.priority for order in orders]
        assert priorities == sorted(priorities), f"queue at {level.price} is not by time"
        assert level.count == len(orders) > 0, (
            f"{level.count} orders counted at {level.price}, {len(orders)} there"
        )
        assert level.quantity == sum(order.visible_quantity for order in orders), (
            f"wrong total at {level.price}"
        )
        count += len(orders)
    return count


def check_slice(order: Order) -> None:
    if order.display_quantity:
        most = min(order.display_quantity, order.open_quantity)
        assert 0 < order.shown_quantity <= most, f"{order} shows {order.shown_quantity}, at most {most}"


def check_stops(market: Market) -> int:
    """The number of stops that wait."""
    waiting = list(market.stops)
    for order in waiting:
        check_order(order, market.sequence)
        assert order.stop_price > 0 and order.kind != BOUNDED, f"{order} has no stop to wait for"
        reached = market.last_price is not None and order.is_reached_by(market.last_price)
        assert market.halted or not reached, f"the stop of {order} is reached, and it waits"
    assert len(waiting) == len(market.stops), f"{len(market.stops)} stops counted, {len(waiting)} there"
    return len(waiting)


def check_order(order: Order, sequence: int) -> None:
    assert order.open_quantity > 0 and order.traded_quantity >= 0, f"{order} is in the book with nothing open"
    # Less than its quantity is left when a trade with its own user was prevented at the cost of both.
    assert order.open_quantity + order.traded_quantity <= order.quantity, (
        f"quantities of {order} do not add up"
    )
    assert 0 < order.priority <= order.sequence <= sequence, f"{order} is from the future"
