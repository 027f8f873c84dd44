"""Shares that staff hand out or take back: how a market is seeded."""

from datetime import datetime

from django.db import transaction

from stocks.models import ShareGrant
from stocks.services.holdings import InsufficientShares, lock_holdings, write_holdings
from stocks.services.ticks import lock_stock
from users.exceptions import Refusal, UnknownUser
from users.services.cash import lock_accounts

# Fifteen digits, as with money: what every reader of JSON sees exactly.
MAX_HOLDING = 10**15 - 1


class HoldingTooLarge(Refusal):
    """The user would hold more shares than can be counted exactly."""

    code = "holding_too_large"
    field = "quantity"


def grant_shares(
    *, user_id: int, stock_id: str, quantity: int, granted_by_id: int | None = None, now: datetime
) -> ShareGrant:
    """Give shares, which cost nothing; a negative `quantity` takes back shares that no order holds."""
    with transaction.atomic():
        # The order of all locks: stock, accounts, holdings. The account is locked so that who owns
        # something has one.
        lock_stock(stock_id)
        if user_id not in lock_accounts([user_id]):
            raise UnknownUser(f"there is no user {user_id}")
        (holding,) = lock_holdings([(user_id, stock_id)], create=True).values()
        if holding.quantity + quantity > MAX_HOLDING:
            raise HoldingTooLarge(f"a holding can be at most {MAX_HOLDING} shares")
        if quantity > 0:
            holding.buy(quantity, 0)
        elif -quantity > holding.available:
            raise InsufficientShares("the user does not have this many shares free", field="quantity")
        else:
            # As a sale for nothing: the rest keeps its average cost.
            holding.sell(-quantity)
        write_holdings([holding])
        return ShareGrant.objects.create(
            user_id=user_id,
            stock_id=stock_id,
            quantity=quantity,
            granted_by_id=granted_by_id,
            created_at=now,
        )
