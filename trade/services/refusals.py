"""Why an order may be refused."""

from users.exceptions import Refusal


class UnknownUser(Refusal):
    """There is no user of that id, or it is not active."""

    code = "unknown_user"
    status = 404


class MarketHalted(Refusal):
    """The stock takes cancels only."""

    code = "market_halted"
    field = "stock_id"


class PriceOffIncrement(Refusal):
    """The price is not a whole number of the stock's price increments."""

    code = "price_off_increment"
    field = "price"


class QuantityOffLot(Refusal):
    """The quantity is not a whole number of the stock's lots."""

    code = "quantity_off_lot"
    field = "quantity"


class BoundsCrossed(Refusal):
    """The lower bound is above the upper bound."""

    code = "bounds_crossed"
    field = "lower_bound"


class InvalidOrder(Refusal):
    """The order's fields do not go together."""

    code = "invalid"


class NoReferencePrice(Refusal):
    """A market order needs a last price to put its collar around."""

    code = "no_reference_price"
    field = "type"


class OrderTooLarge(Refusal):
    """Price times quantity is more than the market can count."""

    code = "order_too_large"
    field = "quantity"


class DuplicateClientOrderId(Refusal):
    """Another order of this user has this client_order_id."""

    code = "duplicate_client_order_id"
    status = 409
    field = "client_order_id"


class UnknownOrder(Refusal):
    """There is no such order, or it is somebody else's."""

    code = "not_found"
    status = 404


class OrderNotOpen(Refusal):
    """The order is finished: nothing is left to cancel."""

    code = "order_not_open"
    status = 409


class UnknownTrade(Refusal):
    """There is no such trade."""

    code = "not_found"
    status = 404


class TradeSettled(Refusal):
    """The trade has settled: once, and never again."""

    code = "trade_settled"
    status = 409


class EngineBusy(Refusal):
    """More is waiting than this process takes. Nothing was stored; try again."""

    code = "busy"
    status = 503


class OutcomeUnknown(Refusal):
    """Time ran out after the work had begun: it may be done, or be done yet. Look before trying again."""

    code = "outcome_unknown"
    status = 503


class QuantityOutOfRange(Refusal):
    """The stock takes orders between two quantities."""

    code = "quantity_out_of_range"
    field = "quantity"


class NotionalOutOfRange(Refusal):
    """The stock takes orders between two values."""

    code = "notional_out_of_range"
    field = "quantity"


class PriceOutsideCollar(Refusal):
    """The limit is too far from the last price."""

    code = "price_outside_collar"
    field = "price"


class PostOnlyWouldTrade(Refusal):
    """At its new price the post-only order would trade at once."""

    code = "post_only_would_trade"
    field = "price"


class QuantityBelowTraded(Refusal):
    """The new total is less than the order has traded."""

    code = "quantity_below_traded"
    status = 409
    field = "quantity"
