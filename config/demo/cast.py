"""Who and what is in the demo. Every name is invented."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class DemoStock:
    """A stock to list, and the price its feed starts from."""

    stock_id: str
    name: str
    price: Decimal


STOCKS = (
    DemoStock("AVLN", "Avelin Lanterns", Decimal("12.40")),
    DemoStock("BRKM", "Brackmoor Orchards", Decimal("48.75")),
    DemoStock("COBW", "Cobbleworth Bricks", Decimal("96.20")),
    DemoStock("DRUM", "Drumlin Ferries", Decimal("7.85")),
    DemoStock("EMKI", "Emberkiln Ceramics", Decimal("153.60")),
    DemoStock("FENW", "Fenwhistle Instruments", Decimal("31.10")),
    DemoStock("GLOM", "Glommen Tidal Power", Decimal("214.00")),
    DemoStock("HALQ", "Halqvist Sailcloth", Decimal("64.30")),
    DemoStock("INDL", "Indalee Dyeworks", Decimal("18.95")),
    DemoStock("JUNB", "Juniperbank Apothecary", Decimal("402.50")),
    DemoStock("KESA", "Kestrel Abbey Airships", Decimal("1275.00")),
    DemoStock("LUMG", "Lumengate Glass", Decimal("5.42")),
)

STAFF = "admin"
TRADERS = ("ada", "bela", "chidi")
MAKERS = ("maker-north", "maker-south")
NOISE_TRADERS = ("noise-1", "noise-2", "noise-3", "noise-4", "noise-5", "noise-6")

# What each starts with. Shares are given as money's worth at the starting price, per stock.
TRADER_CASH = Decimal(100_000)
TRADER_SHARES_WORTH = Decimal(5_000)
MAKER_CASH = Decimal(5_000_000)
MAKER_SHARES_WORTH = Decimal(100_000)
NOISE_CASH = Decimal(1_000_000)
NOISE_SHARES_WORTH = Decimal(50_000)


def shares_worth(money: Decimal, price: Decimal) -> int:
    """How many shares `money` pays for; at least one."""
    return max(1, int(money / price))
