"""Numbers and times in templates, written as `format.js` writes them."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

MINUS = "\u2212"
DASH = "\u2013"


@register.filter
def money(value: Decimal | int | None, places: int = 2) -> str:
    """Thousands separated, at least `places` decimals and as many more as there are; a dash for None."""
    if value is None:
        return DASH
    whole, _, fraction = f"{abs(Decimal(value)):,.4f}".partition(".")
    fraction = fraction.rstrip("0").ljust(places, "0")
    return f"{MINUS if value < 0 else ''}{whole}{'.' if fraction else ''}{fraction}"


@register.filter
def cents(value: Decimal | None) -> str:
    """As `money`, rounded to two places: for sums and costs, which have more digits than meaning."""
    return money(None if value is None else round(value, 2))


@register.filter
def signed(value: Decimal | None) -> str:
    """As `money`, with a plus sign for what is above zero."""
    return f"+{money(value)}" if value and value > 0 else money(value)


@register.filter
def signed_cents(value: Decimal | None) -> str:
    """As `cents`, with a plus sign for what is above zero."""
    return signed(None if value is None else round(value, 2))


@register.filter
def percent(share: Fraction | None) -> str:
    """A share such as 0.05 as "+5.00 %"; a dash for None. Half is rounded away from zero."""
    if share is None:
        return DASH
    hundredths = int(abs(share) * 10_000 + Fraction(1, 2))
    sign = "" if not hundredths else "+" if share > 0 else MINUS
    return f"{sign}{hundredths // 100:,}.{hundredths % 100:02d} %"


@register.filter
def bps(value: int | None) -> str:
    """Basis points as a percentage: 25 is "0.25 %"."""
    return DASH if value is None else f"{value / 100:,.2f} %"


@register.filter
def count(value: int | None) -> str:
    """A whole number with thousands separated; a dash for None."""
    return DASH if value is None else f"{value:,}"


@register.filter
def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds, with a decimal below ten."""
    ms = seconds * 1_000
    return f"{ms:,.1f}" if ms < 10 else f"{ms:,.0f}"


@register.filter
def direction(value: Decimal | Fraction | None) -> str:
    """The class that shows, with an arrow, where something moved: "up", "down" or none."""
    return "up" if value and value > 0 else "down" if value and value < 0 else ""


@register.filter
def moment(value: datetime | None) -> SafeString | str:
    """A time, in UTC until the page's script shows it in the reader's zone."""
    if value is None:
        return DASH
    known = value.astimezone(UTC)
    return format_html('<time datetime="{}">{} UTC</time>', known.isoformat(), f"{known:%Y-%m-%d %H:%M:%S}")
