"""What trades cost and what orders hold. Pure; money in units (ten-thousandths of the currency)."""

BASIS_POINTS = 10_000


def fee_on(value: int, fee_bps: int) -> int:
    """The fee on `value` units traded, in units, rounded down.

    Down, because then the fees of any parts never add up to more than the fee of the whole: what was held
    for an order always covers what its trades cost.
    """
    return value * fee_bps // BASIS_POINTS


def hold_of(side: str, quantity: int, limit_price: int, fee_bps: int) -> int:
    """What an order holds for `quantity` open shares: units of cash for a buy, shares for a sell.

    `fee_bps` is the higher of its two fee rates.
    """
    if side == "sell":
        return quantity
    value = quantity * limit_price
    return value + fee_on(value, fee_bps)
